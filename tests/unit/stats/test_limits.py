"""The limit of any test: agrees with the best test where that is known, and with itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from freehold.domain.errors import RequestError
from freehold.stats import allowed_errors, least_slack, needed_rows


@pytest.mark.parametrize(("n", "risk", "epsilon"), [(3000, 0.04, 0.05), (1000, 0.2, 0.23), (5000, 0.018, 0.022)])
def test_the_exact_binomial_which_is_most_powerful_has_about_that_power(n: int, risk: float, epsilon: float) -> None:
    power = float(binom.cdf(allowed_errors(n, epsilon, 0.05), n, risk))
    sigma = (risk * (1 - risk)) ** 0.5
    # Between them lies what the normal limit leaves out: the variance at ε is another than at the risk.
    assert least_slack(n, sigma, 0.05, power) == pytest.approx(epsilon - risk, rel=0.1)


@given(st.floats(0.001, 0.5), st.floats(0.01, 1.0), st.floats(0.001, 0.2), st.floats(0.3, 0.99))
def test_rows_and_slack_say_the_same(gap: float, sigma: float, delta: float, power: float) -> None:
    rows = needed_rows(gap, sigma, delta, power)
    assert rows is not None
    assert least_slack(rows, sigma, delta, power) <= gap * (1 + 1e-9)
    if rows > 1:
        assert least_slack(rows - 1, sigma, delta, power) >= gap * (1 - 1e-9)


def test_bad_input_is_refused_and_no_gap_is_never_shown() -> None:
    assert needed_rows(0.0, 0.2, 0.05) is None
    assert needed_rows(-0.1, 0.2, 0.05) is None
    for call in (
        lambda: least_slack(0, 0.2, 0.05),
        lambda: least_slack(10, -0.2, 0.05),
        lambda: needed_rows(np.nan, 0.2, 0.05),
        lambda: needed_rows(0.1, np.inf, 0.05),
        lambda: needed_rows(0.1, 0.2, 0.0),
    ):
        with pytest.raises(RequestError):
            call()
