"""From evidence to the figures of a certificate: one pure function, used to issue and to verify.

The walk: each step of the path is one hypothesis, "the risk at these thresholds is ε or more", tested in the order
fixed beforehand, each at the whole of the attempt's level, until the first that is not rejected (see
`freehold.stats.fixed_sequence`). Several rungs are one ladder: the loss of a row is that of the rung that answers it,
so that one walk certifies them jointly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Evidence, LossName, RiskName, WalkStep
from freehold.stats import betting_test, clopper_pearson_upper, exact_binomial, spent_delta, trinomial_test
from freehold.stats.walks import risk_losses, walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freehold.stats import PValue
    from freehold.store.evidence import EvidenceRows

    Losses = NDArray[np.float64]

LOSS_RANGE: dict[LossName, tuple[float, float]] = {
    "disagreement": (0.0, 1.0),
    "harm": (0.0, 1.0),
    "signed": (-1.0, 1.0),
}
BOUND_STEPS = 32
"""An upper bound without a closed form is looked for in this many even steps from ε down to 0."""


class Figures(NamedTuple):
    """What a certificate says of the step that it certifies; its fields bear the same names."""

    thresholds: tuple[float, ...]
    accepted: int
    loss_sum: float
    p_value: float
    loss_estimate: float
    loss_upper: float
    coverage: float
    traffic_loss_upper: float


class Conclusion(NamedTuple):
    """The walk, and what it certified; None: nothing."""

    delta_spent: float
    tested: tuple[WalkStep, ...]
    figures: Figures | None


def conclude(evidence: Evidence, rows: EvidenceRows) -> Conclusion:
    """Walk the evidence's path over its rows. The same evidence gives the same conclusion to the last bit.

    Raises:
        EvidenceError: there are no rows or no path, the rows do not fit the evidence, a loss is not in its range, rows
            were drawn with different probabilities, which no test here allows for, or losses do not suit the test.
    """
    _check(evidence, rows)
    level = spent_delta(evidence.delta, evidence.attempt)
    low, high = LOSS_RANGE[evidence.loss]
    steps = range(len(evidence.path))
    losses = (_losses(rows, step, evidence.risk) for step in steps)
    tests = [p_value_at(evidence, step, level) for step in steps]
    walked = walk(losses, evidence.epsilon, level, tests, low=low, high=high)
    tested = tuple(
        WalkStep(
            thresholds=evidence.path[number],
            accepted=int((rows.choices[:, number] >= 0).sum()),
            loss_sum=step.loss_sum,
            p_value=step.p_value,
        )
        for number, step in enumerate(walked.tested)
    )
    last = walked.certified - 1
    figures = _figures(evidence, rows, last, tested[last], level) if last >= 0 and tested[last].accepted else None
    return Conclusion(level, tested, figures)


def p_value_at(evidence: Evidence, step: int, level: float) -> PValue:
    """The evidence's test for one step, made for the level it will be held against."""
    low, high = LOSS_RANGE[evidence.loss]
    match evidence.test:
        case "exact binomial":
            return exact_binomial
        case "trinomial":
            return trinomial_test(level)
        case "betting":
            own = {name: values[step] for name, values in evidence.parameters.items()}
            return betting_test(level, low, high, **own)


def _losses(rows: EvidenceRows, step: int, risk: RiskName) -> Losses:
    """The losses whose mean is the risk at a step, in order."""
    chosen = rows.choices[:, step]
    return risk_losses(rows.losses[np.arange(len(chosen)), chosen], chosen >= 0, risk)


def _figures(evidence: Evidence, rows: EvidenceRows, number: int, step: WalkStep, level: float) -> Figures:
    losses = _losses(rows, number, evidence.risk)
    everything = _losses(rows, number, "traffic")
    upper = _upper(evidence, losses, number, level, evidence.epsilon)
    return Figures(
        thresholds=step.thresholds,
        accepted=step.accepted,
        loss_sum=step.loss_sum,
        p_value=step.p_value,
        loss_estimate=step.loss_sum / len(losses),
        loss_upper=upper,
        coverage=step.accepted / len(rows.ids),
        traffic_loss_upper=_upper(evidence, everything, number, level, upper),
    )


def _upper(evidence: Evidence, losses: Losses, number: int, level: float, known: float) -> float:
    """An upper bound of the mean of `losses` at `level`: Clopper and Pearson's for 0/1 losses.

    Else a fixed sequence of its own: "the mean is m or more" for ever smaller m, from `known`, a bound already, down.
    """
    if evidence.test == "exact binomial":
        return clopper_pearson_upper(round(float(losses.sum())), len(losses), level)
    p_value = p_value_at(evidence, number, level)
    bound = known
    for step in range(1, BOUND_STEPS):
        lower = known * (1.0 - step / BOUND_STEPS)
        if p_value(losses, lower) > level:
            break
        bound = lower
    return bound


def _check(evidence: Evidence, rows: EvidenceRows) -> None:
    n, low, high = len(rows.ids), *LOSS_RANGE[evidence.loss]
    if not n or not evidence.path or not evidence.rungs:
        raise EvidenceError(
            f"{n} rows, {len(evidence.path)} steps and {len(evidence.rungs)} rungs: nothing to test.",
            "Let more traffic pass through.",
        )
    fits = (
        rows.weights.shape == (n,)
        and rows.losses.shape == (n, len(evidence.rungs))
        and rows.choices.shape == (n, len(evidence.path))
        and (rows.signals is None or rows.signals.shape == rows.losses.shape)
    )
    if not fits or rows.choices.min() < -1 or rows.choices.max() >= len(evidence.rungs):
        raise EvidenceError("The rows do not fit the evidence's rungs and steps.", "Certify again.")
    if any(len(values) != len(evidence.path) for values in evidence.parameters.values()):
        raise EvidenceError("A parameter of the test lacks a value for each step.", "Certify again.")
    if not ((rows.losses >= low) & (rows.losses <= high)).all():
        raise EvidenceError(f"A loss is not a number in [{low:g}, {high:g}].", "Check the scorer, and certify again.")
    if not (rows.weights == 1.0).all():
        raise EvidenceError(
            "The rows were drawn with different probabilities; the tests here hold for one.",
            "Certify on rows that were drawn uniformly.",
        )
