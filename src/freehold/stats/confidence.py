"""A confidence sequence for the mean of bounded losses: valid at every time, however often one looks.

For each candidate mean m two gamblers bet, one that the losses are above m, one that they are below:
wealth ∏((1 − f) + f·X/m) and ∏((1 − f) + f·(1 − X)/(1 − m)), each averaged over a fixed grid of stakes f. If the mean
is m, each is a nonnegative martingale started at 1, so (Ville) it ever reaches 2/δ with probability at most δ/2; the m
that neither gambler has refuted form the interval. This is the hedged capital process of Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", J. R. Statist. Soc. B 86 (2024), section 4, with a mixture
over fixed stakes as in their appendix B (diversified Kelly; Robbins' method of mixtures). Stakes as a share of the
largest one make wealth monotone in m, so that the bounds are found by bisection instead of a grid of m.

The state is a histogram. A loss between two knots is counted at both, in the shares that keep its mean; log wealth is
concave in the loss, so this can only lower the wealth: the bounds stay valid, are exact for losses on a knot (0/1 and
−1/0/1 among them), depend neither on the order of the losses nor on how they came in batches, and fit in one database
row for ever.

On 0/1 losses this is a beta-binomial martingale with another prior over the rate: three quarters on stakes from 0.01
to 1, a quarter on 0.0001 to 0.01 (rare or heavily weighted losses, long runs), log-uniform. Chosen by measurement:
median number of audits until lower > ε at δ = 0.05, 1,500 streams, for the one-sided beta-binomial with Jeffreys'
prior, with a uniform prior, and this: true loss 0.4 against ε = 0.05: 8, 8, 9; 0.2: 35, 32, 35; 0.1: 265, 271, 223;
0.07: 1631, 1720, 1213; 0.05 against ε = 0.02: 345, 367, 272.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats.checks import FloatArray, Floats, as_losses, as_vector, check_level, check_range

_STAKES: FloatArray = np.concatenate((np.geomspace(1e-4, 1e-2, 12, endpoint=False), np.geomspace(1e-2, 1.0, 20) - 1e-9))
_LOG_WEIGHTS: FloatArray = np.log(np.repeat((0.25 / 12, 0.75 / 20), (12, 20)))
_KNOTS: FloatArray = np.unique(np.concatenate(([0.0, 0.5], np.geomspace(2e-3, 1.0, 20))))
_ROUNDS = 10
_SPLIT: FloatArray = np.arange(1, 17) / 17.0
_TINY = 1e-9
"""Means closer than this to the edge are not told apart from it."""


class SequenceState(msgspec.Struct, frozen=True):
    """All that a confidence sequence remembers; plain numbers, to be stored as JSON or MessagePack."""

    delta: float
    low: float
    high: float
    knots: tuple[float, ...]
    """Where losses are counted, as shares of [low, high]."""
    counts: tuple[float, ...]
    observations: int


class ConfidenceSequence:
    """Lower and upper bound of the mean loss, at every time, with probability ≥ 1 − δ for all times together.

    Two-sided at δ: each bound alone fails with probability at most δ/2, so for a lower (or upper) bound alone at level
    δ, construct with 2δ. If the mean changes over time, the bounds hold for the average of the means so far, at every
    time: a fixed stake grows by 1 − f + fμᵢ/m on average, and by the inequality of the means the product of these is at
    most 1 where the μᵢ average m or less. That also holds where the next mean depends on the past.

    Weights: where request i was audited with a probability πᵢ fixed before its answer was seen, pass every request's
    loss with weight 1/πᵢ, and the number of requests that were not audited, to a sequence from `of_audits`. If the
    requests are those a rung served, its bounds are those of E[loss | served], whatever made the rates vary, the past
    included. With one audit probability for all, plain audits (weight 1) are tighter.
    """

    def __init__(self, delta: float, *, low: float = 0.0, high: float = 1.0, values: Sequence[float] = ()) -> None:
        """`values`: losses that occur often (say 1/π for each π in use); they are then counted exactly.

        Raises:
            RequestError: δ is not in (0, 1), or [low, high] is empty.
            EvidenceError: one of `values` lies outside [low, high].
        """
        self._delta = check_level("delta", delta)
        check_range(low, high)
        self._low, self._high = float(low), float(high)
        extra = (as_losses(list(values), low, high) - low) / (high - low)
        self._knots: FloatArray = np.unique(np.concatenate((_KNOTS, extra)))
        self._counts: FloatArray = np.zeros(self._knots.size)
        self._observations = 0
        self._bounds: dict[float, float] = {}

    @classmethod
    def of_audits(
        cls, delta: float, rates: Sequence[float], *, low: float = 0.0, high: float = 1.0
    ) -> ConfidenceSequence:
        """A sequence for losses in [low, high] that are audited at any of `rates`, or rates between them.

        It bounds E[loss | served] from one weighted stream. Measured against a sequence per rate at δ/K, combined by
        the requests served at each, and against thinning all audits to the lowest rate; median requests until
        lower > ε = 0.05 (δ = 0.05, 40 streams, looks every 100): loss 0.1 at rates 0.5 and 0.1: 1,500, 3,050, 2,400;
        loss 0.2 at rates 0.3 and 0.03: 450, 750, 950; loss 0.15 at five rates from 0.02 to 0.5: 850, 4,850, 4,050;
        loss 0.2 where the rate is 0.3 and 0.05 where it is 0.03: 800, 1,050, 4,200; the other way round: 3,550, 4,450,
        3,800.

        Raises:
            RequestError: no rate, a rate outside (0, 1], δ not in (0, 1), or [low, high] is empty or without 0.
        """
        check_range(low, high)
        if not rates or not all(0.0 < rate <= 1.0 for rate in rates) or not low <= 0.0 <= high:
            raise RequestError(
                f"Audits at rates {list(rates)} of losses in [{low}, {high}] cannot be weighted.",
                "Give audit rates in (0, 1], and losses that can be 0.",
            )
        largest = 1.0 / min(rates)
        often = [loss / rate for rate in set(rates) for loss in (low, high)]
        return cls(delta, low=low * largest, high=high * largest, values=[0.0, *often])

    def update(self, losses: Floats, weights: Floats | None = None, *, unaudited: int = 0) -> None:
        """Add losses (each times its weight), and `unaudited` requests that count as loss 0.

        Nothing is added if anything is wrong.

        Raises:
            EvidenceError: a loss times its weight is NaN or outside [low, high]; a weight is negative; lengths differ.
            RequestError: `unaudited` is negative, or 0 lies outside [low, high] when it is used.
        """
        values = as_vector("losses", losses)
        if weights is not None:
            values = values * _checked_weights(weights, values.size)
        values = as_losses(values, self._low, self._high)
        if unaudited < 0 or (unaudited and not self._low <= 0.0 <= self._high):
            raise RequestError(f"{unaudited} unaudited requests cannot be counted.", "Give a count; 0 must be a loss.")
        self._count(values)
        if unaudited:
            self._count(np.zeros(1), float(unaudited))
        self._observations += values.size + unaudited
        self._bounds.clear()

    @property
    def lower(self) -> float:
        """The lower bound now; `low` while nothing is known."""
        return self._bound(0.0)

    @property
    def upper(self) -> float:
        """The upper bound now; `high` while nothing is known."""
        return self._bound(1.0)

    @property
    def observations(self) -> int:
        """How many losses have been added, unaudited requests included."""
        return self._observations

    @property
    def mean(self) -> float | None:
        """The mean loss so far; None without losses."""
        if not self._observations:
            return None
        share = float(self._counts @ self._knots) / self._observations
        return self._low + share * (self._high - self._low)

    def log_evidence_above(self, mean: float) -> float:
        """Log wealth of the gambler who bets that the mean is above `mean` (low < mean < high); see the module."""
        return float(log_wealth_above(self._knots, self._counts, (mean - self._low) / (self._high - self._low)))

    def state(self) -> SequenceState:
        """What to store."""
        return SequenceState(
            delta=self._delta,
            low=self._low,
            high=self._high,
            knots=tuple(self._knots.tolist()),
            counts=tuple(self._counts.tolist()),
            observations=self._observations,
        )

    @classmethod
    def from_state(cls, state: SequenceState) -> ConfidenceSequence:
        """Go on from a stored state.

        Raises:
            EvidenceError: the state was not written by `state()`.
        """
        knots, counts = np.asarray(state.knots, np.float64), np.asarray(state.counts, np.float64)
        whole = knots.size == counts.size > 1 and bool(np.isfinite(knots).all() and np.isfinite(counts).all())
        if not whole or counts.min() < 0 or abs(counts.sum() - state.observations) > 1e-6 * (1 + state.observations):
            raise EvidenceError("A stored confidence sequence is damaged.", "Start it again from the stored audits.")
        if knots[0] != 0.0 or knots[-1] != 1.0 or not np.all(np.diff(knots) > 0):
            raise EvidenceError("A stored confidence sequence has no proper knots.", "Start it again from the audits.")
        sequence = cls(state.delta, low=state.low, high=state.high)
        sequence._knots, sequence._counts, sequence._observations = knots, counts, state.observations
        return sequence

    @classmethod
    def from_totals(cls, delta: float, observations: int, loss_sum: float) -> ConfidenceSequence:
        """Go on from a count and a sum of losses in [0, 1]: the whole state of 0/1 losses.

        Graded losses may be given so too: the bounds stay valid, but know nothing of their variance.

        Raises:
            EvidenceError: not 0 ≤ loss_sum ≤ observations.
        """
        if not 0.0 <= loss_sum <= observations:
            raise EvidenceError(f"{observations} losses cannot sum to {loss_sum}.", "Count the stored audits again.")
        sequence = cls(delta)
        sequence._counts[0], sequence._counts[-1] = observations - loss_sum, loss_sum
        sequence._observations = observations
        return sequence

    def _count(self, values: FloatArray, times: float = 1.0) -> None:
        shares = (values - self._low) / (self._high - self._low)
        right = np.clip(np.searchsorted(self._knots, shares), 1, self._knots.size - 1)
        gap = self._knots[right] - self._knots[right - 1]
        to_right = np.clip((shares - self._knots[right - 1]) / gap, 0.0, 1.0)
        np.add.at(self._counts, right, times * to_right)
        np.add.at(self._counts, right - 1, times * (1.0 - to_right))

    def _bound(self, edge: float) -> float:
        if edge not in self._bounds:
            used = self._counts > 0
            knots, counts, target = self._knots[used], self._counts[used], log(2.0 / self._delta)
            centre = float(counts @ knots) / self._observations if self._observations else 0.5
            factors = _factors_above if edge == 0.0 else _factors_below
            share = _last_refuted(factors, knots, counts, target, edge, centre)
            self._bounds[edge] = self._low + share * (self._high - self._low)
        return self._bounds[edge]


def log_wealth_above(knots: FloatArray, counts: FloatArray, mean: float) -> FloatArray:
    """Log wealth of the gambler on "above `mean`", 0 < mean < 1, for counts of shape (…, knots): shape (…)."""
    return _mixture(counts @ _factors_above(knots, np.asarray(mean)).T)


def log_wealth_below(knots: FloatArray, counts: FloatArray, mean: float) -> FloatArray:
    """Log wealth of the gambler on "below `mean`", 0 < mean < 1, for counts of shape (…, knots): shape (…)."""
    return _mixture(counts @ _factors_below(knots, np.asarray(mean)).T)


def _factors_above(knots: FloatArray, mean: FloatArray) -> FloatArray:
    """What one loss at each knot does to log wealth, per stake: shape (*mean.shape, stakes, knots)."""
    ratio: FloatArray = knots / mean[..., None, None]
    return np.log1p(_STAKES[:, None] * (ratio - 1.0))


def _factors_below(knots: FloatArray, mean: FloatArray) -> FloatArray:
    return _factors_above(np.subtract(1.0, knots), np.asarray(1.0 - mean))


def _mixture(logs: FloatArray) -> FloatArray:
    """Log of the weighted mean of the wealth over stakes, the last axis."""
    weighted = logs + _LOG_WEIGHTS
    largest = weighted.max(axis=-1)
    return largest + np.log(np.exp(weighted - largest[..., None]).sum(axis=-1))


def _last_refuted(
    factors: Callable[[FloatArray, FloatArray], FloatArray],
    knots: FloatArray,
    counts: FloatArray,
    target: float,
    edge: float,
    centre: float,
) -> float:
    """Between the edge and the centre (never refuted), the last mean that is refuted; the edge if none is.

    Each round splits what is left into 17: 10 rounds bring it below 1e-12.
    """
    outside, inside = edge, centre
    for _ in range(_ROUNDS):
        between = outside + (inside - outside) * _SPLIT
        between = between[(between > _TINY) & (between < 1.0 - _TINY)]
        if not between.size:
            break
        refuted = int((_mixture(factors(knots, between) @ counts) >= target).sum())
        inside = float(between[refuted]) if refuted < between.size else inside
        outside = float(between[refuted - 1]) if refuted else outside
    return outside


def _checked_weights(weights: Floats, size: int) -> NDArray[np.float64]:
    values = as_vector("weights", weights)
    if values.size != size or (values < 0).any():
        raise EvidenceError(
            f"{values.size} weights for {size} losses, or one below 0.", "Give each loss the inverse of its propensity."
        )
    return values
