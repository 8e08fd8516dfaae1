"""An interval for the mean difference of two answerers' scores on the same samples.

Paired: what makes a sample hard for both drops out. Each side of the interval is a one-sided test at δ/2, inverted, so
that it holds for any number of samples and any distribution of bounded differences. A bootstrap would not: of 30
samples on which nothing differed it makes an interval of width zero.

All-or-nothing scores differ by −1, 0 or 1: the exact trinomial test (`freehold.stats.trinomial`). Else the betting test
of Waudby-Smith and Ramdas (`freehold.stats.betting`), for a fixed sequence of ever smaller means from outside in, until
the first that is not rejected. Width (misses in 60) at δ = 0.05, differences −1, 0, 1 with few that are not 0, n = 100
and 1,000: BCa bootstrap 0.146 (4), 0.027 (5); betting 0.206 (0), 0.033 (3); trinomial 0.160 (1), 0.028 (3).
"""

from __future__ import annotations

from freehold.domain.errors import EvidenceError
from freehold.stats.betting import betting_p_value
from freehold.stats.checks import FloatArray, Floats, as_losses, check_level
from freehold.stats.trinomial import trinomial_count_p_value

STEP = 0.004
"""Between the means that the betting test is asked about."""
_HALVINGS = 12
"""Of [−1, 1], for the trinomial test: to 0.0005."""


def paired_interval(differences: Floats, delta: float = 0.05, *, exact: bool = False) -> tuple[float, float]:
    """Lower and upper bound of the mean of `differences`, shape (n,), in [−1, 1], together at 1 − δ.

    `exact`: scores are 0 or 1, decided before they are seen. Without samples: (−1, 1).

    Raises:
        EvidenceError: a difference is NaN or outside [−1, 1]; or `exact`, and one is not −1, 0 or 1.
        RequestError: δ is not in (0, 1).
    """
    check_level("delta", delta)
    values = as_losses(differences, -1.0, 1.0)
    upper = _upper_exact if exact else _upper_betting
    return max(-1.0, -upper(-values, delta / 2)), min(1.0, upper(values, delta / 2))


def worse_p_value(differences: Floats, delta: float = 0.05, *, exact: bool = False) -> float:
    """The p-value of "the mean difference is 0 or more", by the same tests; small where the candidate is worse.

    It is made for a test at δ. Raises as `paired_interval` does.
    """
    check_level("delta", delta)
    values = as_losses(differences, -1.0, 1.0)
    if not exact:
        return betting_p_value(values, 0.0, delta=delta, low=-1.0, high=1.0)
    return _p_exact(*_counts(values), values.size, 0.0, delta)


def _counts(values: FloatArray) -> tuple[int, int]:
    """How often the difference is 1, and −1."""
    above, below = int((values == 1.0).sum()), int((values == -1.0).sum())
    if above + below + int((values == 0.0).sum()) != values.size:
        raise EvidenceError(
            "An exact interval was asked for, but a difference is not −1, 0 or 1.", "Leave `exact` out for such scores."
        )
    return above, below


def _upper_exact(values: FloatArray, level: float) -> float:
    harms, gains = _counts(values)
    inside, outside = -1.0, 1.0  # its p-value falls as the mean that is asked about rises
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        rejected = -1.0 < middle < 1.0 and _p_exact(harms, gains, values.size, middle, level) <= level
        inside, outside = (inside, middle) if rejected else (middle, outside)
    return outside


def _p_exact(harms: int, gains: int, n: int, mean: float, level: float) -> float:
    return trinomial_count_p_value(harms, gains, n, mean, delta=level)


def _upper_betting(values: FloatArray, level: float) -> float:
    bound = 1.0
    steps = round(2.0 / STEP)
    for step in range(1, steps):
        mean = 1.0 - step * STEP
        if betting_p_value(values, mean, delta=level, low=-1.0, high=1.0) > level:
            break
        bound = mean
    return bound
