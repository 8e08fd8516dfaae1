"""A walk along one path of decisions, each accepting more than the one before, tested in that order at the whole of δ.

The path is fixed before the certify data are seen; the first step that is not rejected ends the walk. The chance of
rejecting any true hypothesis is then at most δ, as the first true one on the path must be rejected for that: Maurer,
Hothorn and Lehmacher (1995); Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test", Ann. Appl. Statist. 19
(2025), section 2 (fixed-sequence testing). Nothing is assumed of how steps depend on one another, so a step may be any
decision with one loss per row: a threshold, or a whole ladder of rungs. A ladder is certified jointly by the loss of
the answer that the ladder as a whole gives, tested along one path of ever more accepting ladders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats.betting import PValue
from freehold.stats.checks import FloatArray, Floats, as_losses, check_level

Risk: TypeAlias = Literal["served", "traffic"]
"""What ε bounds: E[loss | accepted], or E[loss · accepted] over all requests."""


class Step(NamedTuple):
    """One step that was tested."""

    n: int
    """How many losses the test saw: the accepted rows (served), or all rows (traffic)."""
    loss_sum: float
    p_value: float


class WalkResult(msgspec.Struct, frozen=True):
    """The steps tested, in order, and how many of them are certified."""

    certified: int
    """The first `certified` steps were rejected at δ: the laxest certified one is number `certified` − 1."""
    epsilon: float
    delta: float
    tested: tuple[Step, ...]


def walk(
    losses_per_step: Iterable[Floats],
    epsilon: float,
    delta: float,
    p_value: PValue | Sequence[PValue],
    *,
    low: float = 0.0,
    high: float = 1.0,
) -> WalkResult:
    """Test each step's losses until one is not rejected; later steps are not even asked for.

    `losses_per_step`: for each step what `risk_losses` gives, all from the same certify rows. `p_value`: one test for
    all steps, or one for each (they may differ in what they forecast from tune data, say).

    Raises:
        EvidenceError: a loss is NaN or outside [low, high], or a test gives no p-value.
        RequestError: ε or δ is out of range, or there are fewer tests than steps.
    """
    check_level("delta", delta)
    if not low < epsilon < high:
        raise RequestError(f"`epsilon` is {epsilon}, outside ({low}, {high}).", "Choose an ε inside the losses' range.")
    tested: list[Step] = []
    for number, losses in enumerate(losses_per_step):
        values = as_losses(losses, low, high)
        p = _test_of(p_value, number)(values, epsilon) if values.size else 1.0
        if not 0.0 <= p <= 1.0:
            raise EvidenceError(f"The test of step {number} gave {p}, which is no p-value.", "Check `p_value`.")
        tested.append(Step(int(values.size), float(values.sum()), p))
        if p > delta:
            return WalkResult(number, epsilon, delta, tuple(tested))
    return WalkResult(len(tested), epsilon, delta, tuple(tested))


def risk_losses(losses: Floats, accepted: NDArray[np.bool_], risk: Risk) -> FloatArray:
    """The losses whose mean is the risk: those of the accepted rows, or all, with 0 for rows that are escalated.

    `losses` and `accepted`, shape (n,). A row that is not accepted may have any finite loss.

    Raises:
        EvidenceError: lengths differ.
        RequestError: `risk` is neither "served" nor "traffic".
    """
    values = np.asarray(losses, np.float64)
    if values.shape != accepted.shape:
        raise EvidenceError(f"{values.size} losses but {accepted.size} decisions.", "Pass one of each per request.")
    if risk == "served":
        return values[accepted]
    if risk == "traffic":
        return np.where(accepted, values, 0.0)
    raise RequestError(f"There is no risk `{risk}`.", 'Choose "served" or "traffic".')


def _test_of(p_value: PValue | Sequence[PValue], number: int) -> PValue:
    if callable(p_value):
        return p_value
    if number >= len(p_value):
        raise RequestError(f"There are {len(p_value)} tests but more steps.", "Pass one test, or one for each step.")
    return p_value[number]
