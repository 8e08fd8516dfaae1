"""What the exact test will probably say, and how much more evidence it takes: power of the binomial test.

The test on n accepted samples rejects when at most c(n) err, c(n) the largest count whose p-value is ≤ δ; its power at
error rate r is P(Bin(n, r) ≤ c(n)): Casella and Berger, "Statistical Inference" (2002), section 8.3.1. Where r is only
estimated, errors to come are beta-binomial under Jeffreys' prior: Brown, Cai and DasGupta, Statist. Sci. 16 (2001),
section 3.1. These are forecasts to plan by; no guarantee rests on them.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats.checks import check_level
from freehold.stats.special import binomial_cdf, log_beta

MOST_SAMPLES = 10_000_000
"""A plan that takes more than this is no plan."""


def allowed_errors(n: int, epsilon: float, delta: float) -> int:
    """The most errors among `n` with which the exact test still rejects "the risk is ε or more"; −1: none will do."""
    check_level("epsilon", epsilon)
    check_level("delta", delta)
    low, high = -1, max(n, 0)
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(middle, n, epsilon) <= delta:
            low = middle
        else:
            high = middle
    return low


def needed_samples(
    error_rate: float, coverage: float, epsilon: float, delta: float, power: float = 0.8, *, have: int = 0
) -> int | None:
    """How many certify samples more than `have` until the exact test rejects with probability ≥ `power`.

    `error_rate`: of the accepted; `coverage`: the share accepted. From the answer on, power stays that high (it zigzags
    with n, since errors are whole). None: it never will (error rate ≥ ε), or not within ten million samples.

    Raises:
        RequestError: ε, δ or power is not in (0, 1), coverage not in (0, 1], the error rate not in [0, 1], have < 0.
    """
    check_level("epsilon", epsilon)
    check_level("delta", delta)
    check_level("power", power)
    if not (0.0 < coverage <= 1.0 and 0.0 <= error_rate <= 1.0 and have >= 0):
        raise RequestError(
            f"Cannot plan for coverage {coverage}, error rate {error_rate} and {have} samples.",
            "Give coverage in (0, 1], error rate in [0, 1] and samples ≥ 0.",
        )
    if error_rate >= epsilon:
        return None
    accepted = _accepted_for_power(error_rate, epsilon, delta, power)
    if accepted is None or ceil(accepted / coverage) > MOST_SAMPLES:
        return None
    return max(0, ceil(accepted / coverage) - have)


def predicted_outcome(errors: int, accepted: int, total: int, certify_size: int, epsilon: float, delta: float) -> float:
    """The probability that the exact test at a threshold rejects on `certify_size` samples still to be looked at.

    `errors` of `accepted` of `total`: what the threshold did on samples outside the certify part. The uncertainty of
    that estimate is counted in; that of the share accepted is not.

    Raises:
        EvidenceError: not 0 ≤ errors ≤ accepted ≤ total, or total is 0.
    """
    if not 0 <= errors <= accepted <= total or total == 0:
        raise EvidenceError(f"{errors} errors of {accepted} accepted of {total} is impossible.", "Count them together.")
    n = round(certify_size * accepted / total)
    most = allowed_errors(n, epsilon, delta)
    k = np.arange(most + 1)
    a, b = errors + 0.5, accepted - errors + 0.5
    log_choose = -log_beta(k + 1.0, n - k + 1.0) - np.log(n + 1.0)
    log_pmf = log_choose + log_beta(k + a, n - k + b) - log_beta(a, b)
    return float(min(1.0, np.exp(log_pmf).sum()))


def _accepted_for_power(error_rate: float, epsilon: float, delta: float, power: float) -> int | None:
    """Fewest accepted samples from which on the power stays: bisection on the number of errors allowed."""

    def enough(most: int) -> bool:
        # The worst sample size that still allows no more than `most` errors is the last before `most + 1` are allowed.
        return float(binomial_cdf(most, _first_allowing(most + 1, epsilon, delta) - 1, error_rate)) >= power

    high = 1
    while not enough(high):
        high *= 2
        if high > MOST_SAMPLES * epsilon:
            return None
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return _first_allowing(high, epsilon, delta)


def _first_allowing(most: int, epsilon: float, delta: float) -> int:
    """The fewest accepted samples on which `most` errors still reject."""
    low, high = most, 2 * (most + 1)
    while float(binomial_cdf(most, high, epsilon)) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if float(binomial_cdf(most, middle, epsilon)) > delta:
            low = middle
        else:
            high = middle
    return high
