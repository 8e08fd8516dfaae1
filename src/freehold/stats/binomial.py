"""Exact tests and bounds for 0/1 losses.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26
(1934); the p-value is the lower tail of the binomial, as in Bates et al., "Distribution-free, risk-controlling
prediction sets", J. ACM 68 (2021), section 3.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError
from freehold.stats.checks import FloatArray, Floats, as_losses, check_level
from freehold.stats.special import beta_quantile, beta_upper_quantile, binomial_cdf


def binomial_p_value(errors: int, n: int, epsilon: float) -> float:
    """P(Bin(n, ε) ≤ errors): the exact p-value of H0 "the risk is ε or more". Without evidence (n = 0) it is 1.

    Raises:
        EvidenceError: not 0 ≤ errors ≤ n.
        RequestError: ε is not in (0, 1).
    """
    check_level("epsilon", epsilon)
    _check_counts(errors, n)
    return float(binomial_cdf(errors, n, epsilon))


def binomial_p_values(errors: NDArray[np.integer], n: NDArray[np.integer], epsilon: float) -> FloatArray:
    """`binomial_p_value` for arrays of counts that broadcast together; checks nothing but ε."""
    check_level("epsilon", epsilon)
    return binomial_cdf(errors, n, epsilon)


def exact_binomial(losses: Floats, epsilon: float) -> float:
    """`binomial_p_value` of losses that are each 0 or 1: the p-value to give to `fixed_sequence_test`.

    Raises:
        EvidenceError: some loss is neither 0 nor 1. (Whether to use this test is decided by the kind of loss, before
            the data are seen: choosing it because a sample happens to be all 0/1 could spend δ twice.)
    """
    values = as_losses(losses)
    if not np.all((values == 0.0) | (values == 1.0)):
        raise EvidenceError(
            "The exact binomial test was asked for, but some losses are neither 0 nor 1.",
            "Use the betting test for graded losses.",
        )
    return binomial_p_value(int(values.sum()), values.size, epsilon)


def clopper_pearson_upper(errors: int, n: int, delta: float) -> float:
    """The exact upper bound of the risk: P(risk ≤ bound) ≥ 1 − δ. It is ≤ ε exactly when the p-value of ε is ≤ δ.

    Raises:
        EvidenceError: not 0 ≤ errors ≤ n.
        RequestError: δ is not in (0, 1).
    """
    check_level("delta", delta)
    _check_counts(errors, n)
    return 1.0 if errors == n else beta_upper_quantile(delta, errors + 1, n - errors)


def clopper_pearson_interval(errors: int, n: int, delta: float) -> tuple[float, float]:
    """The exact two-sided interval of the risk at 1 − δ, δ/2 on each side. Same errors as the upper bound."""
    upper = clopper_pearson_upper(errors, n, delta / 2.0)
    lower = 0.0 if errors == 0 else beta_quantile(delta / 2.0, errors, n - errors + 1)
    return lower, upper


def _check_counts(errors: int, n: int) -> None:
    if not 0 <= errors <= n:
        raise EvidenceError(f"{errors} errors of {n} answers is impossible.", "Count both on the same answers.")
