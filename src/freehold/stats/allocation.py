"""Where a day's audit dollars go: to the certificates about whose loss least is known, for what the knowledge costs.

The bounds of a task's loss lie about √(u(1 − u)/(a + 1)) apart, up to a factor all tasks share: u the upper bound now
(one half, where it is above: nothing varies more), a its audits. Rates are chosen to make the total of these widths,
each relative to the task's ε, as small as the budget allows:

    minimise Σᵢ kᵢ/√(aᵢ + 1 + xᵢ),  kᵢ = √(uᵢ(1 − uᵢ))/εᵢ,  subject to Σᵢ costᵢ·xᵢ ≤ budget, lowestᵢ ≤ xᵢ ≤ highestᵢ

with xᵢ the audits of the day. It is convex and separable, so the best xᵢ has one marginal gain per dollar λ throughout,
xᵢ = (kᵢ/(2·λ·costᵢ))^⅔ − aᵢ − 1 cut to its limits, and λ is found by bisection ("water-filling": Boyd and Vandenberghe,
"Convex Optimization" (2004)). A tighter ε, a higher upper bound, fewer audits or cheaper ones bring a task more; a
larger budget brings every task at least as much as before.

A rate is a probability that holds for a day and is fixed before its requests are seen, so every audit's propensity is
known, as `ConfidenceSequence.of_audits` needs. The budget bounds expected spending: owned requests are a forecast, and
audits are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt

import msgspec

from freehold.domain.errors import RequestError

_ROUNDS = 200
_FREE = 1e-12
"""Dollars below which an audit costs nothing."""


class AuditNeed(msgspec.Struct, frozen=True):
    """A task in force, as far as its audits are concerned."""

    task: str
    epsilon: float
    upper: float
    """The upper bound of its loss now, from the certificate or the audits, in [0, 1]."""
    audits: int
    """Audits so far under the certificate in force."""
    requests_per_day: float
    """Owned requests to be expected in a day."""
    dollars_per_audit: float


class Allocation(msgspec.Struct, frozen=True):
    """Audit rates for a day."""

    rates: dict[str, float]
    """Task → the probability with which each of its owned answers is audited."""
    dollars: float
    """Expected spending in a day: never above the budget."""
    below_floor: bool
    """Even the lowest rates cost more than the budget: every task got the same share of its lowest rate."""


def allocate_audits(
    needs: Sequence[AuditNeed], budget: float, *, min_rate: float = 0.005, max_rate: float = 0.5
) -> Allocation:
    """Audit rates for tasks in force that together cost at most `budget` dollars a day; see the module.

    Each rate lies in [min_rate, max_rate]. If the lowest rates alone cost more than the budget, each task gets the same
    share of `min_rate`, which costs exactly the budget, and `below_floor` is set: say so, and let the owner choose.

    Raises:
        RequestError: rates or budget out of range, a need that is not a number, a task named twice.
    """
    if not (0.0 < min_rate <= max_rate <= 1.0 and isfinite(budget) and budget >= 0.0):
        raise RequestError(
            f"Audit rates from {min_rate} to {max_rate} and {budget} dollars a day are no plan.",
            "Give 0 < min_rate ≤ max_rate ≤ 1 and a budget of 0 or more.",
        )
    for need in needs:
        _check(need)
    if len({need.task for need in needs}) < len(needs):
        raise RequestError("A task is named twice.", "Give each task in force once.")
    floor = _dollars(needs, [min_rate] * len(needs))
    if floor > budget:
        scaled = min_rate * budget / floor
        return Allocation({need.task: scaled for need in needs}, budget, True)
    rates = _water_filled(needs, budget, min_rate, max_rate)
    return Allocation({need.task: rate for need, rate in zip(needs, rates, strict=True)}, _dollars(needs, rates), False)


def _water_filled(needs: Sequence[AuditNeed], budget: float, min_rate: float, max_rate: float) -> list[float]:
    """The rates at the smallest λ that the budget pays for, by bisection on its logarithm scale."""

    def rates_at(gain: float) -> list[float]:
        return [_rate(need, gain, min_rate, max_rate) for need in needs]

    everything = [max_rate if need.requests_per_day > 0.0 else min_rate for need in needs]
    if _dollars(needs, everything) <= budget:
        return everything
    too_low, enough = 1e-30, 1e30
    for _ in range(_ROUNDS):
        middle = sqrt(too_low * enough)
        if _dollars(needs, rates_at(middle)) <= budget:
            enough = middle
        else:
            too_low = middle
    return rates_at(enough)


def _rate(need: AuditNeed, gain: float, min_rate: float, max_rate: float) -> float:
    """The rate at which one more dollar of audits narrows this task's bounds by `gain`."""
    if need.requests_per_day == 0.0:
        return min_rate
    if need.dollars_per_audit < _FREE:
        return max_rate
    upper = min(need.upper, 0.5)
    width = sqrt(upper * (1.0 - upper)) / need.epsilon
    audits = (width / (2.0 * gain * need.dollars_per_audit)) ** (2.0 / 3.0) - need.audits - 1.0
    return min(max(audits / need.requests_per_day, min_rate), max_rate)


def _dollars(needs: Sequence[AuditNeed], rates: Sequence[float]) -> float:
    return sum(need.requests_per_day * need.dollars_per_audit * rate for need, rate in zip(needs, rates, strict=True))


def _check(need: AuditNeed) -> None:
    counts = (need.requests_per_day, need.dollars_per_audit, float(need.audits))
    if not (0.0 < need.epsilon < 1.0 and 0.0 <= need.upper <= 1.0 and all(isfinite(c) and c >= 0.0 for c in counts)):
        raise RequestError(
            f"Task {need.task} has ε {need.epsilon}, an upper bound of {need.upper}, {need.audits} audits, "
            f"{need.requests_per_day} requests a day and {need.dollars_per_audit} dollars per audit.",
            "Give ε in (0, 1), the bound in [0, 1], and the others finite and 0 or more.",
        )
