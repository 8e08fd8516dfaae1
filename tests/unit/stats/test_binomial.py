"""The exact test against exact rational arithmetic, and the bound against the test it inverts."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import binomial_p_value, clopper_pearson_interval, clopper_pearson_upper, exact_binomial

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.001, 0.999)


def exact_tail(errors: int, n: int, epsilon: float) -> float:
    p = Fraction(epsilon)
    return float(sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(errors + 1)))


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(1e-4, 0.5))
def test_p_value_is_the_binomial_tail(count: tuple[int, int], epsilon: float) -> None:
    assert binomial_p_value(*count, epsilon) == pytest.approx(exact_tail(*count, epsilon), rel=1e-9)


@given(counts, levels)
def test_p_value_grows_with_errors(count: tuple[int, int], epsilon: float) -> None:
    errors, n = count
    if errors < n:
        assert binomial_p_value(errors, n, epsilon) <= binomial_p_value(errors + 1, n, epsilon)
    assert binomial_p_value(n, n, epsilon) == pytest.approx(1.0)


@given(counts, st.floats(1e-8, 0.5), st.floats(0.001, 0.9))
def test_bound_is_below_epsilon_exactly_when_the_test_rejects(
    count: tuple[int, int], delta: float, epsilon: float
) -> None:
    upper = clopper_pearson_upper(*count, delta)
    if abs(upper - epsilon) > 1e-9:
        assert (upper < epsilon) == (binomial_p_value(*count, epsilon) < delta)


@given(counts, st.floats(1e-6, 0.5))
def test_interval_holds_the_rate_and_mirrors(count: tuple[int, int], delta: float) -> None:
    errors, n = count
    lower, upper = clopper_pearson_interval(errors, n, delta)
    assert 0.0 <= lower <= errors / n <= upper <= 1.0
    mirrored = clopper_pearson_interval(n - errors, n, delta)
    assert (1 - upper, 1 - lower) == pytest.approx(mirrored, abs=1e-9)


def test_published_values() -> None:
    # The rule of three, exactly: no error among n has the upper bound 1 − δ^(1/n).
    assert clopper_pearson_upper(0, 59, 0.05) == pytest.approx(1 - 0.05 ** (1 / 59), abs=1e-12)
    # Newcombe (1998), Statist. Med. 17, table I, method 5 (Clopper–Pearson): 81/263 and 15/148.
    assert clopper_pearson_interval(81, 263, 0.05) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert clopper_pearson_interval(15, 148, 0.05) == pytest.approx((0.0578, 0.1617), abs=5e-5)


def test_no_evidence_is_no_evidence() -> None:
    assert binomial_p_value(0, 0, 0.05) == 1.0
    assert clopper_pearson_upper(0, 0, 0.05) == 1.0
    assert exact_binomial([], 0.05) == 1.0


def test_bad_input_is_refused() -> None:
    for errors, n in ((-1, 5), (6, 5)):
        with pytest.raises(EvidenceError):
            binomial_p_value(errors, n, 0.05)
    for epsilon in (0.0, 1.0, float("nan")):
        with pytest.raises(RequestError):
            binomial_p_value(1, 5, epsilon)
    for losses in ([0.0, 0.5], [0.0, np.nan], [0.0, 2.0], [[0.0]], ["x"]):
        with pytest.raises(EvidenceError):
            exact_binomial(losses, 0.05)  # type: ignore[arg-type]
