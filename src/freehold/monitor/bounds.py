"""From audits to bounds of a certificate's risk that may be looked at all the time, and to an alarm. Pure.

One audit rate from the beginning, and a risk per served request: audits are a uniform draw, each counts once, and
audits that told nothing are left out, as requests whose incumbent failed were left out of the evidence: neither depends
on what a rung answered.

Rates that varied, or a risk over all traffic: every request counts, an audited one with its loss times 1/propensity,
any other with 0 (`ConfidenceSequence.of_audits`). What of the drawn audits told nothing counts as the least loss for
the lower bound and as the largest for the upper one, which holds whatever they would have told: nothing is withdrawn on
account of them, and nothing looks good for want of them.

Each bound is ever wrong with probability δ at most: half of it is for the time at one rate, half for all of the rest. A
weighted sequence must be told the lowest rate beforehand. It is told 1/64; when a rate falls below, the sequence is
computed anew for a quarter of that, with an eighth of the δ of the one before, and so on, so that all of them together
spend no more than the first one could.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, log
from typing import NamedTuple

from freehold.domain.evidence import Certificate, LossName
from freehold.stats import ChangeDetector, ConfidenceSequence

FALSE_ALARM_AUDITS = 10_000.0
"""Mean number of audits between false alarms of the change detector, at the least."""
LOWEST: dict[LossName, float] = {"disagreement": 0.0, "harm": 0.0, "signed": -1.0}
"""The least that a loss can be; the largest is 1."""
_FIRST_RANGE = 1 / 64
_EXACT_RATES = 16
"""The rates in use most are counted exactly; others are counted between them, which costs a little width."""
_LEAST_BASELINE = 1 / 32
"""Share of ε: below it, a certified bound is no level to tell a rise from."""
_BEYOND = 1.25


class Told(NamedTuple):
    """What audits told."""

    losses: list[float]
    """In the order they were made."""
    rates: list[float]
    """Of each: the probability with which it was drawn."""
    missing: dict[float, int]
    """Rate → audits drawn at it that told nothing, pending ones among them."""
    requests: dict[float, int]
    """Rate → the requests that the risk is about."""


class Bounds(NamedTuple):
    """Of the certified risk."""

    lower: float
    upper: float
    estimate: float | None
    weighted: bool


def bounds(certificate: Certificate, told: Told) -> Bounds:
    """The bounds now. The same audits give the same bounds, whenever and however often they are computed."""
    low = LOWEST[certificate.loss]
    if certificate.risk == "served" and len(told.requests) <= 1:
        sequence = ConfidenceSequence(certificate.delta, low=low)
        sequence.update(told.losses)
        return Bounds(sequence.lower, sequence.upper, sequence.mean, weighted=False)
    lower = _weighted(certificate, told, low)
    upper = _weighted(certificate, told, 1.0) if told.missing else lower
    estimate = lower.mean if told.losses else None
    return Bounds(max(low, lower.lower), min(1.0, upper.upper), estimate, weighted=True)


def drift(certificate: Certificate, losses: list[float], rates: list[float]) -> int | None:
    """The number of the loss at which the change detector raised its alarm, counted from 1; None if it raised none.

    Of losses that are, one after the other, fair draws from the certified risk: audits of what rungs served, with a
    sample of what they did not where the risk is over all traffic. Given the past, a draw's mean loss does not depend
    on the rate it was drawn at, so that the false-alarm rate holds per draw, and would without weights. But where more
    is drawn while requests are hard, draws are harder than requests. So a draw at a rate above the lowest until then
    counts for less: what it lacks is made up by the loss that is in order, which the detector takes no notice of.
    """
    low = LOWEST[certificate.loss]
    level = max(certificate.loss_upper, _LEAST_BASELINE * certificate.epsilon)
    worse = certificate.epsilon if level < certificate.epsilon else min(_BEYOND * level, (1.0 + level) / 2)
    baseline = _from(low, level)
    watched: list[float] = []
    lowest = 1.0
    for loss, rate in zip(losses, rates, strict=True):
        lowest = min(lowest, rate)
        share = lowest / rate
        watched.append(_from(low, loss) if share == 1.0 else share * _from(low, loss) + (1.0 - share) * baseline)
    detector = ChangeDetector(baseline, _from(low, worse), arl=FALSE_ALARM_AUDITS)
    detector.update(watched)
    return detector.alarm_at


def _from(low: float, loss: float) -> float:
    """A loss in [low, 1] as one in [0, 1]: what the detector watches must not be negative."""
    return loss if low == 0.0 else (loss - low) / (1.0 - low)


def _weighted(certificate: Certificate, told: Told, missing: float) -> ConfidenceSequence:
    """The sequence over all requests, with every missing audit's loss taken to be `missing`."""
    lowest = min(told.requests, default=1.0)
    level = 1 + max(0, ceil(log(_FIRST_RANGE / lowest, 4) - 1e-9))
    delta = certificate.delta * 7 / 8**level
    most = [rate for rate, _ in Counter(told.requests).most_common(_EXACT_RATES)]
    rates = [*most, _FIRST_RANGE / 4 ** (level - 1)]
    sequence = ConfidenceSequence.of_audits(delta, rates, low=LOWEST[certificate.loss])
    lost = sum(told.missing.values())
    unaudited = sum(told.requests.values()) - len(told.losses) - lost
    sequence.update(told.losses, [1 / rate for rate in told.rates], unaudited=unaudited)
    for rate, count in told.missing.items():
        sequence.update([missing] * count, [1 / rate] * count)
    return sequence
