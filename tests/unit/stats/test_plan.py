"""Forecasts against the test they forecast, by brute force and by simulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import allowed_errors, binomial_p_value, needed_samples, predicted_outcome


@given(st.integers(0, 3000), st.floats(0.005, 0.5), st.floats(1e-5, 0.3))
def test_allowed_errors_is_the_edge_of_the_test(n: int, epsilon: float, delta: float) -> None:
    most = allowed_errors(n, epsilon, delta)
    assert most == -1 or binomial_p_value(most, n, epsilon) <= delta
    assert most == n or binomial_p_value(most + 1, n, epsilon) > delta


def power(n: int, error_rate: float, epsilon: float, delta: float) -> float:
    most = allowed_errors(n, epsilon, delta)
    return float(bdtr(most, n, error_rate)) if most >= 0 else 0.0


@settings(max_examples=12, deadline=None)
@given(st.floats(0.0, 0.6), st.sampled_from([0.02, 0.05, 0.1]), st.sampled_from([0.5, 0.8, 0.95]))
def test_needed_samples_is_the_first_from_which_power_stays(share: float, epsilon: float, wanted: float) -> None:
    needed = needed_samples(share * epsilon, 1.0, epsilon, 0.05, wanted)
    assert needed is not None
    after = [power(n, share * epsilon, epsilon, 0.05) for n in range(needed, needed + 120)]
    assert min(after) >= wanted
    assert power(needed - 1, share * epsilon, epsilon, 0.05) < wanted


def test_needed_samples_counts_coverage_and_what_there_is() -> None:
    assert needed_samples(0.0, 1.0, 0.05, 0.05) == 59  # 0.95⁵⁹ ≤ 0.05 < 0.95⁵⁸
    assert needed_samples(0.0, 0.5, 0.05, 0.05) == 118
    assert needed_samples(0.0, 0.5, 0.05, 0.05, have=100) == 18
    assert needed_samples(0.0, 0.5, 0.05, 0.05, have=500) == 0
    assert needed_samples(0.05, 1.0, 0.05, 0.05) is None
    assert needed_samples(0.0499999, 1.0, 0.05, 0.05) is None
    closer = [needed_samples(rate, 0.7, 0.05, 0.05) or 0 for rate in (0.0, 0.01, 0.02, 0.03, 0.04, 0.045)]
    assert closer == sorted(closer)


def test_predicted_outcome_is_the_beta_binomial_share_of_rejections() -> None:
    rng = np.random.default_rng(51)
    rates = rng.beta(4 + 0.5, 196 + 0.5, 40_000)
    errors = rng.binomial(240, rates)
    simulated = np.mean([binomial_p_value(int(e), 240, 0.05) <= 0.05 for e in errors])
    assert predicted_outcome(4, 200, 250, 300, 0.05, 0.05) == pytest.approx(simulated, abs=0.01)


def test_predicted_outcome_follows_the_evidence() -> None:
    falling = [predicted_outcome(errors, 200, 250, 500, 0.05, 0.05) for errors in range(0, 21, 4)]
    assert all(earlier > later for earlier, later in pairwise(falling))
    assert predicted_outcome(0, 200, 250, 10, 0.05, 0.05) == 0.0  # 8 accepted can never reject
    assert predicted_outcome(0, 0, 250, 500, 0.05, 0.05) == 0.0
    assert predicted_outcome(0, 5000, 5000, 5000, 0.05, 0.05) > 0.999


def test_bad_input_is_refused() -> None:
    for counts in ((-1, 5, 10), (6, 5, 10), (1, 11, 10), (0, 0, 0)):
        with pytest.raises(EvidenceError):
            predicted_outcome(*counts, 100, 0.05, 0.05)
    for error_rate, coverage in ((-0.1, 0.5), (0.01, 0.0), (0.01, 1.5), (float("nan"), 0.5)):
        with pytest.raises(RequestError):
            needed_samples(error_rate, coverage, 0.05, 0.05)
