"""What no test can do: how far below ε the true risk must lie before n rows can show it.

Take losses of mean μ = ε − g and standard deviation σ. H0 "the mean is ε or more" contains their own distribution,
tilted exponentially to mean ε. No level-δ test is more powerful against the truth than the Neyman–Pearson test
between these two (it rejects for a low mean), and its power tends to Φ(g√n/σ − z), z the 1 − δ quantile (Lehmann and
Romano, "Testing Statistical Hypotheses", 2005). So a true risk above ε − zσ/√n is certified less than half the time by
any valid test. For small n this is a yardstick rather than a bound: skewed or whole-numbered losses shift it.

How near the shipped tests come: extra g for power .8 at δ = ε = .05, in σ/√n, at n = 300, 1,000, 3,000 (400 samples
each, `bench/stats/power.py`): trinomial, 20% harm and 18% gain .04, .00, .00; 10 and 10% .09, .04, .02; 5 and 1% .42,
.12, .24; exact binomial 1.35, .49, .23, nearly all of it from the skew of rare errors, as no test of a count is more
powerful; betting with a forecast, graded signed losses .27, .10, at n = 300 and 1,000; graded harm 1.09, .35, .27.
"""

from __future__ import annotations

from math import ceil, isfinite, sqrt

from freehold.domain.errors import RequestError
from freehold.stats.checks import check_level
from freehold.stats.special import normal_quantile


def least_slack(rows: int, sigma: float, delta: float, power: float = 0.5) -> float:
    """How far below ε the mean loss must lie for `rows` certify rows to show it with the given power, at the best.

    `sigma`: the standard deviation of the loss over those rows (with traffic risk: all rows, escalated ones as 0).

    Raises:
        RequestError: no rows, σ negative or not finite, δ or power not in (0, 1).
    """
    _check(sigma, delta, power)
    if rows < 1:
        raise RequestError(f"{rows} rows show nothing.", "Give at least one row.")
    return max(0.0, _quantiles(delta, power)) * sigma / sqrt(rows)


def needed_rows(gap: float, sigma: float, delta: float, power: float = 0.8) -> int | None:
    """The fewest certify rows on which any test can show a mean loss `gap` below ε with the given power; None: never.

    The shipped tests need a little more: see the module.

    Raises:
        RequestError: σ negative or the gap or σ not finite, δ or power not in (0, 1).
    """
    _check(sigma, delta, power)
    if not isfinite(gap):
        raise RequestError(f"`gap` is {gap}.", "Give ε less the mean loss.")
    if gap <= 0.0:
        return None
    return max(1, ceil((max(0.0, _quantiles(delta, power)) * sigma / gap) ** 2))


def _quantiles(delta: float, power: float) -> float:
    return normal_quantile(1.0 - delta) + normal_quantile(power)


def _check(sigma: float, delta: float, power: float) -> None:
    check_level("delta", delta)
    check_level("power", power)
    if not (isfinite(sigma) and sigma >= 0.0):
        raise RequestError(f"`sigma` is {sigma}.", "Give the standard deviation of the losses.")
