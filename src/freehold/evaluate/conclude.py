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
from freehold.stats import betting_test, clopper_pearson_upper, exact_binomial, spent_delta

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
    p_value = p_value_at(evidence, level)
    tested: list[WalkStep] = []
    certified: int | None = None
    for number, thresholds in enumerate(evidence.path):
        losses, accepted = _losses(rows, number, evidence.risk)
        p = p_value(losses, evidence.epsilon) if accepted else 1.0
        tested.append(
            WalkStep(thresholds=thresholds, accepted=accepted, loss_sum=float(losses.sum()), p_value=float(p))
        )
        if p > level:
            break
        certified = number
    figures = None if certified is None else _figures(evidence, rows, certified, tested[certified], level)
    return Conclusion(level, tuple(tested), figures)


def p_value_at(evidence: Evidence, level: float) -> PValue:
    """The evidence's test, made for the level it will be held against."""
    low, high = LOSS_RANGE[evidence.loss]
    match evidence.test:
        case "exact binomial":
            return exact_binomial
        case "trinomial":
            from freehold.stats.trinomial import trinomial_test

            return trinomial_test(level)
        case "betting":
            return betting_test(level, low, high, **evidence.parameters)


def _losses(rows: EvidenceRows, step: int, risk: RiskName) -> tuple[Losses, int]:
    """The losses whose mean is the risk at a step, in order, and how many rows a rung answered."""
    chosen = rows.choices[:, step]
    taken = chosen >= 0
    losses = rows.losses[np.arange(len(chosen)), chosen]
    return losses[taken] if risk == "served" else np.where(taken, losses, 0.0), int(taken.sum())


def _figures(evidence: Evidence, rows: EvidenceRows, number: int, step: WalkStep, level: float) -> Figures:
    losses, _ = _losses(rows, number, evidence.risk)
    everything, _ = _losses(rows, number, "traffic")
    upper = _upper(evidence, losses, level, evidence.epsilon)
    return Figures(
        thresholds=step.thresholds,
        accepted=step.accepted,
        loss_sum=step.loss_sum,
        p_value=step.p_value,
        loss_estimate=step.loss_sum / len(losses),
        loss_upper=upper,
        coverage=step.accepted / len(rows.ids),
        traffic_loss_upper=_upper(evidence, everything, level, upper),
    )


def _upper(evidence: Evidence, losses: Losses, level: float, known: float) -> float:
    """An upper bound of the mean of `losses` at `level`: Clopper and Pearson's for 0/1 losses.

    Else a fixed sequence of its own: "the mean is m or more" for ever smaller m, from `known`, a bound already, down.
    """
    if evidence.test == "exact binomial":
        return clopper_pearson_upper(round(float(losses.sum())), len(losses), level)
    p_value = p_value_at(evidence, level)
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
    if not ((rows.losses >= low) & (rows.losses <= high)).all():
        raise EvidenceError(f"A loss is not a number in [{low:g}, {high:g}].", "Check the scorer, and certify again.")
    if not (rows.weights == 1.0).all():
        raise EvidenceError(
            "The rows were drawn with different probabilities; the tests here hold for one.",
            "Certify on rows that were drawn uniformly.",
        )
