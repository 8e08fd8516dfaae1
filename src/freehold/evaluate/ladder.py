"""Lay a ladder's walk from strict to lax, and certify the laxest step that the certify part allows.

A step of the walk is a price of a point of score (see `freehold.signals.ladder`); at each, the whole ladder answers,
and its loss is the loss of what it answers: the rungs are certified jointly. Steps, order and number of rungs are
chosen on fit and tune rows to save most at the loss that will probably be certified; the certify part chooses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freehold.signals.ladder import MAX_PRICE, Expected, Step, climb, normal_cdf
from freehold.stats.betting import PValue
from freehold.stats.dispatch import loss_test
from freehold.stats.walks import Risk, WalkResult, risk_losses, walk

Floats = NDArray[np.float64]
STEPS = 60
"""Steps tested; a finer walk gains nothing that can be measured (docs/log.md)."""
_OFFSETS = np.concatenate((np.geomspace(0.5, 0.005, 24), [0.0]))
_PRICES = np.geomspace(300.0, 0.02, 160)


class Ladder(NamedTuple):
    """An order of rungs, as `climb` wants it."""

    rungs: tuple[int, ...]
    spreads: tuple[float, ...]
    novelty_limit: float


class Answered(NamedTuple):
    """What a ladder does with n requests at one step."""

    losses: Floats
    """Of what was answered; 0 where the incumbent answered, (n,)."""
    accepted: NDArray[np.bool_]
    """Answered by a rung, (n,)."""
    dollars: Floats
    """Spent, calls in vain included, in mean costs of the incumbent, (n,)."""
    answerer: NDArray[np.intp]
    """0: the incumbent, (n,)."""


class Laid(NamedTuple):
    """A walk, laid on rows that are not the certify part."""

    ladder: Ladder
    steps: tuple[Step, ...]
    """Strictest first."""
    moments: tuple[float, ...]
    """Per step: mean of (loss − ε)² on these rows, which the test starts from where losses are graded."""
    saving: float
    """Predicted share of dollars saved at the laxest step that will probably be certified; 0 if none will."""


def answer(expected: Expected, losses: Floats, costs: Floats, ladder: Ladder, step: Step) -> Answered:
    """What the ladder does at `step`: `losses` (n, k) and `costs` (n, k + 1) are what the models gave and took."""
    climbed = climb(expected, step, ladder.rungs, ladder.spreads, ladder.novelty_limit)
    rows = np.arange(len(losses))
    accepted = climbed.answerer > 0
    lost = np.where(accepted, losses[rows, np.maximum(climbed.answerer - 1, 0)], 0.0)
    return Answered(lost, accepted, (costs * climbed.asked).sum(1), climbed.answerer)


def every_step(risk: Risk, epsilon: float) -> tuple[Step, ...]:
    """All steps there are to choose from, strictest first."""
    floor = -epsilon if risk == "served" else 0.0
    strict = [Step(MAX_PRICE, float(offset) + floor) for offset in _OFFSETS]
    return (*strict, *(Step(float(price), floor) for price in _PRICES), Step(0.0, floor))


def lay_walk(
    expected: Expected,
    losses: Floats,
    costs: Floats,
    ladder: Ladder,
    *,
    risk: Risk,
    epsilon: float,
    delta: float,
    certify_rows: int,
    steps: int = STEPS,
) -> Laid:
    """Lay a walk of at most `steps` steps, evenly apart in what they save, on n rows that do not certify.

    It starts where the p-value predicted for `certify_rows` rows is smallest: what is stricter accepts too few to tell.
    """
    saved: list[float] = []
    scores: list[float] = []
    moments: list[float] = []
    kept: list[Step] = []
    before: NDArray[np.intp] | None = None
    # An estimate may fall below what can be lost: strict steps, which pick such, would look better than any can be.
    least = float(losses.min(initial=0.0))
    for step in every_step(risk, epsilon):
        done = answer(expected, losses, costs, ladder, step)
        saving = 1.0 - float(done.dollars.sum()) / float(costs[:, 0].sum())
        if saving <= 0.0 or (before is not None and (done.answerer == before).all()):
            continue
        before = done.answerer
        foreseen = np.maximum(_foreseen(expected, done), least)
        kept.append(step)
        saved.append(saving)
        scores.append(_predicted_score(done, foreseen, risk, epsilon, certify_rows))
        moments.append(float(((risk_losses(done.losses, done.accepted, risk) - epsilon) ** 2).mean()))
    if not kept:
        return Laid(ladder, (), (), 0.0)
    start = int(np.argmin(scores))
    p_values = normal_cdf(np.array(scores))
    failing = [position for position in range(start, len(kept)) if p_values[position] > delta]
    last = (failing[0] if failing else len(kept)) - 1
    wanted: Floats = np.linspace(saved[start], max(saved[start:]), steps)
    reached = np.maximum.accumulate(saved[start:])
    picked = sorted({start + int(at) for at in np.searchsorted(reached, wanted - 1e-12)})
    saving = max(0.0, saved[last]) if last >= start else 0.0
    return Laid(ladder, tuple(kept[at] for at in picked), tuple(moments[at] for at in picked), saving)


def best_laid(laid: Sequence[Laid]) -> Laid:
    """The walk that is predicted to save most; the shortest ladder of equals."""
    return max(laid, key=lambda one: (round(one.saving, 3), -len(one.ladder.rungs)))


def certify_walk(
    laid: Laid,
    expected: Expected,
    losses: Floats,
    costs: Floats,
    *,
    tests: Sequence[PValue],
    risk: Risk,
    epsilon: float,
    delta: float,
) -> WalkResult:
    """Walk on the certify rows: the laxest step before the first that fails at δ is certified.

    `tests`: one per step, see `tests_of`.

    Raises: EvidenceError, if a loss is not of the kind that its test is for.
    """
    answers = (answer(expected, losses, costs, laid.ladder, step) for step in laid.steps)
    shown = (risk_losses(done.losses, done.accepted, risk) for done in answers)
    return walk(shown, epsilon, delta, tests, low=-1.0)


def tests_of(laid: Laid, losses: Floats, delta: float) -> tuple[list[PValue], str]:
    """The test of each step and its name, by what the losses of fit and tune rows, (n, k), can be."""
    support = np.unique(np.append(losses, 0.0))
    chosen = [loss_test(support, delta, -1.0, second_moment=moment) for moment in laid.moments]
    return [test for test, _ in chosen], chosen[0][1] if chosen else ""


def bound(losses: Floats, p_value: PValue, epsilon: float, delta: float) -> float:
    """An upper confidence bound of the mean of `losses` at 1 − δ, where ε is known to be one: to 1e-4 from above."""
    refuted, open_ = epsilon, -1.0 + 1e-6
    while refuted - open_ > 1e-4:
        middle = (refuted + open_) / 2
        if p_value(losses, middle) <= delta:
            refuted = middle
        else:
            open_ = middle
    return refuted


def _foreseen(expected: Expected, done: Answered) -> Floats:
    """Expected losses of what was answered, (n,)."""
    losses = expected.losses if expected.after is None else expected.after
    rows = np.arange(len(losses))
    return np.where(done.accepted, losses[rows, np.maximum(done.answerer - 1, 0)], 0.0)


def _predicted_score(done: Answered, foreseen: Floats, risk: Risk, epsilon: float, certify_rows: int) -> float:
    """How many standard errors below ε the loss will probably lie; the normal limit makes a p-value of it.

    It goes by the mean of what was lost and what was expected to be.

    What was lost alone flatters the step that is chosen for having lost little.
    """
    lost, said, rows = done.losses, foreseen, float(certify_rows)
    if risk == "served":
        lost, said = lost[done.accepted], said[done.accepted]
        rows *= len(lost) / len(done.losses)
    mean = (lost.mean() + said.mean()) / 2
    spread = np.sqrt(max(float(lost.var()), 1.0 / len(lost)) / max(rows, 1.0))
    return float((mean - epsilon) / spread)
