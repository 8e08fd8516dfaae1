"""The few special functions the tests need, typed. scipy is imported on first use: it costs more than all of us."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from freehold.stats.checks import FloatArray


def binomial_cdf(successes: ArrayLike, n: ArrayLike, probability: float) -> FloatArray:
    """P(Bin(n, probability) ≤ successes), elementwise."""
    return np.asarray(_scipy().bdtr(np.asarray(successes, np.float64), n, probability), np.float64)


def smooth_binomial_cdf(successes: ArrayLike, n: ArrayLike, probability: ArrayLike) -> FloatArray:
    """The binomial CDF continued to real counts, 0 ≤ successes < n: I₁₋ₚ(n − k, k + 1)."""
    k, size = np.asarray(successes, np.float64), np.asarray(n, np.float64)
    return np.asarray(_scipy().betainc(size - k, k + 1.0, 1.0 - np.asarray(probability, np.float64)), np.float64)


def normal_cdf(x: ArrayLike) -> FloatArray:
    """Φ(x), elementwise."""
    return np.asarray(_scipy().ndtr(np.asarray(x, np.float64)), np.float64)


def normal_quantile(probability: float) -> float:
    """The x below which a standard normal variable lies with the given probability."""
    return float(_scipy().ndtri(probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x below which a Beta(a, b) variable lies with the given probability."""
    return float(_scipy().betaincinv(a, b, probability))


def beta_upper_quantile(probability: float, a: float, b: float) -> float:
    """The x above which a Beta(a, b) variable lies with the given probability."""
    return float(_scipy().betainccinv(a, b, probability))


def log_beta(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """ln B(a, b), elementwise."""
    return np.asarray(_scipy().betaln(a, b), np.float64)


@cache
def _scipy() -> Any:
    import scipy.special  # pyright: ignore[reportMissingTypeStubs]

    return scipy.special
