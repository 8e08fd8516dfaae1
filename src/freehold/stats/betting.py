"""The test for graded losses: a betting p-value of H0 "the mean loss is ε or more", for a fixed sample.

Wealth starts at 1 and bet i stakes λᵢ on the next loss being below ε: K ← K·(1 + λᵢ(ε − Xᵢ)). While λᵢ depends only on
earlier losses and 0 ≤ λᵢ ≤ 1/(1 − ε), K is a nonnegative supermartingale under H0, so 1/max K is a p-value (Ville):
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R. Statist. Soc. B 86 (2024),
section 4 (the capital process).

Without a forecast the bets aim at wealth 1/δ by the last loss and are worked out afresh before each one from what is
still missing: λᵢ = √(2·ln(1/(δK))/(v̂·left)), cut at (almost) 1/(1 − ε), v̂ the second moment of ε − X so far: the
principle of Voráček and Orabona, "STaR-Bets: sequential target-recalculating bets", NeurIPS 2025 (arXiv 2505.22422),
section 3; v̂ here starts from ε(1 − ε), the largest it can be, counted as `PRIOR` observations. Any δ gives a valid
p-value; the δ that will be tested at gives the most power.

Chosen by measurement (share of 1,500 samples rejected at δ = 0.05; exact binomial, aGRAPA, predictable plug-in of
section 3.2, mixture of 40 fixed bets, this): Bernoulli 0.03 against ε = 0.05, n = 1,000: .94, .73, .80, .59, .90;
Bernoulli 0.02, n = 300: .83, .63, .71, .40, .76; Beta mean 0.043, n = 1,000: –, .37, .80, .36, .88; signed with 10%
harm and 10% gain, n = 300: –, .29, .42, .20, .55. For 0/1 losses the exact binomial stays the better test.

With `second_moment`, a forecast of E[(X − ε)²] from data outside the sample, v̂ starts from it and the bets are
smaller and steadier: λᵢ = h(u)/√(v̂·left), u = δK the share of the goal that has been reached, h(u) = φ(Φ⁻¹(u))/u. So
the payoff "1/δ if the mean turns out low, else nothing" is hedged on a Gaussian walk of known variance: its price is
Φ(d)/δ, and the bet the derivative of that by the walk. The test that is best in the normal limit is itself a betting
test, and these are its bets. They aim `AIM` higher than needed, as hedging in finite steps falls short at times, and
start a third above the forecast, since too low a variance costs more power than too high a one. A wrong forecast costs
power, never validity. Measured (`bench/stats/power.py`: the gap below ε, in σ/√n beyond what the normal limit needs,
for power .8; without a forecast, with the right one, with half and with twice it), n = 300: graded signed 1.27, .27,
.28, .33; graded harm 1.20, 1.09, 1.35, .98. n = 1,000: .46, .10, .10, .12; .49, .35, .43, .34. (aGRAPA there: 1.00,
2.50; .99, 1.72.)

Bets learn as they go, so the order of losses matters. They are taken in a fixed scattered order (`betting_order`), in
which every prefix spans the whole sample: for independent draws any order fixed beforehand is valid, and where losses
drift within the sample, its good beginning must not win the game alone. Measured on 2,000 samples of 800 whose error
rate rises from half to one and a half times its mean of 1.02 ε: rejected at δ = 0.05 in 23% in the order drawn, and in
3.3% in this one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp, isfinite, log, log1p, pi, sqrt
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import RequestError
from freehold.stats.checks import FloatArray, Floats, as_losses, check_level

PValue: TypeAlias = Callable[[FloatArray, float], float]
"""(losses in the order they were drawn, ε) → p-value of H0 "the mean loss is ε or more"."""

PRIOR = 40.0
_GOLDEN = (sqrt(5.0) - 1.0) / 2.0
CAP = 0.999
"""Share of the largest bet that is ever staked, so that one full loss cannot end the game."""
AIM, MARGIN = 0.06, 4.0 / 3.0
"""With a forecast: log wealth aimed at beyond ln(1/δ), and the factor on the forecast; see the module."""
_NORMAL = NormalDist()


def betting_p_value(
    losses: Floats,
    epsilon: float,
    *,
    delta: float = 0.05,
    low: float = 0.0,
    high: float = 1.0,
    second_moment: float | None = None,
) -> float:
    """The p-value of H0 "the mean loss is ε or more", losses in [low, high] (signed ones: [−1, 1]).

    `losses`, shape (n,), in the order they were drawn, or in another chosen without looking at them: sorted by outcome,
    the value would mean nothing. `second_moment`: what the mean of (loss − ε)² is expected to be, from other data (the
    tune part). Without evidence the value is 1.

    Raises:
        EvidenceError: a loss is NaN or outside [low, high].
        RequestError: ε lies outside (low, high), δ outside (0, 1), or the second moment is negative or not finite.
    """
    values = as_losses(losses, low, high)
    check_level("delta", delta)
    if not low < epsilon < high:
        raise RequestError(f"`epsilon` is {epsilon}, outside ({low}, {high}).", "Choose an ε inside the losses' range.")
    scale = high - low
    scattered = ((values - low) / scale)[betting_order(values.size)].tolist()
    mean, target = (epsilon - low) / scale, log(1.0 / delta)
    if second_moment is None:
        return exp(-_largest_log_wealth(scattered, mean, target, target, PRIOR * mean * (1.0 - mean), star_ratio))
    if not (isfinite(second_moment) and second_moment >= 0.0):
        raise RequestError(f"`second_moment` is {second_moment}.", "Give the mean of (loss − ε)² in the tune part.")
    start = PRIOR * MARGIN * max(second_moment / scale**2, 1e-6)
    return exp(-_largest_log_wealth(scattered, mean, target, target + AIM, start, hedge_ratio))


def betting_test(delta: float, low: float = 0.0, high: float = 1.0, *, second_moment: float | None = None) -> PValue:
    """`betting_p_value` aimed at `delta` for losses in [low, high], to give to `fixed_sequence_test`."""
    return partial(betting_p_value, delta=delta, low=low, high=high, second_moment=second_moment)


def star_ratio(missing: float) -> float:
    """The bet, times √(v̂·left), when `missing` > 0 of log wealth is to be won, without a forecast of the variance."""
    return sqrt(2.0 * missing)


def hedge_ratio(missing: float) -> float:
    """The same with a forecast: φ(Φ⁻¹(u))/u, u = exp(−missing)."""
    share = exp(-min(missing, 30.0))
    distance = _NORMAL.inv_cdf(share)
    return exp(-0.5 * distance * distance) / (sqrt(2.0 * pi) * share)


def betting_order(n: int) -> NDArray[np.intp]:
    """The order in which `n` losses are bet on: by the fractional part of i·(√5 − 1)/2, which scatters evenly."""
    return np.argsort(np.arange(n) * _GOLDEN % 1.0, kind="stable")


def _largest_log_wealth(
    losses: list[float], mean: float, target: float, goal: float, start: float, ratio: Callable[[float], float]
) -> float:
    """The largest log wealth on the way to `goal`; betting stops once it has reached `target`.

    `start`: the sum of squares that counts as `PRIOR` observations.
    """
    largest_bet = CAP / (1.0 - mean)
    squares = start
    wealth = largest = 0.0
    left = len(losses)
    for seen, loss in enumerate(losses):
        gain = mean - loss
        bet = ratio(goal - wealth) * sqrt((PRIOR + seen) / (squares * (left - seen)))
        wealth += log1p(min(bet, largest_bet) * gain)
        squares += gain * gain
        if wealth > largest:
            largest = wealth
            if wealth >= target:
                break
    return largest
