"""The trinomial p-value: its exact level over the whole of H0, power near the normal limit, bad input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, multinomial, norm

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import betting_p_value, binomial_p_value, trinomial_p_value, trinomial_test
from freehold.stats.trinomial import trinomial_count_p_value


def chances(q: float, mean: float) -> list[float]:
    return [(q + mean) / 2, (q - mean) / 2, max(0.0, 1 - q)]


def nulls(epsilon: float) -> Iterator[list[float]]:
    """H0 all over: means from ε up, from no ties between the answers to no gain at all."""
    for mean in (epsilon, epsilon + 0.004, epsilon + 0.03):
        for q in np.append(np.linspace(abs(mean), 1.0, 80), abs(mean) + 0.001):
            yield chances(q, mean)


@pytest.mark.parametrize(
    ("n", "epsilon", "delta"), [(40, 0.05, 0.05), (45, 0.2, 0.1), (30, -0.05, 0.05), (30, 0.0, 0.05)]
)
def test_the_exact_level_holds_over_the_whole_of_h0_and_is_used(n: int, epsilon: float, delta: float) -> None:
    samples = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    p_values = np.array([trinomial_count_p_value(a, b, n, epsilon, delta=delta) for a, b, _ in samples])
    rejected = samples[p_values <= delta]
    levels = [multinomial.pmf(rejected, n, p).sum() for p in nulls(epsilon)]
    assert max(levels) <= delta
    assert max(levels) >= 0.9 * delta


@pytest.mark.parametrize("q", [0.0515, 0.09, 0.25])
def test_the_exact_level_holds_at_the_edge_for_larger_samples_and_heavy_skew(q: float) -> None:
    n, delta = 300, 0.02
    harm, gain, _ = chances(q, 0.05)
    level = 0.0
    for gains in range(int(binom.ppf(1e-6, n, gain)), int(binom.ppf(1 - 1e-6, n, gain)) + 1):
        rejected, accepted = -1, gains + int(n * 0.05) + 1
        while accepted - rejected > 1:
            middle = (rejected + accepted) // 2
            low = trinomial_count_p_value(middle, gains, n, 0.05, delta=delta) <= delta
            rejected, accepted = (middle, accepted) if low else (rejected, middle)
        level += binom.pmf(gains, n, gain) * binom.cdf(rejected, n - gains, harm / (1 - gain))
    assert 0.75 * delta <= level <= delta - 2e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.data())
def test_less_harm_or_more_gain_is_never_held_against_it(n: int, data: st.DataObject) -> None:
    harms = data.draw(st.integers(1, n))
    gains = data.draw(st.integers(0, n - harms))
    p = trinomial_count_p_value(harms, gains, n, 0.05, delta=0.01)
    assert 0.0 < p <= 1.0
    # 2%: bounds are as sharp as the answer at δ needs.
    assert trinomial_count_p_value(harms - 1, gains, n, 0.05, delta=0.01) <= max(p * 1.02, 1.5 * 0.01)


def test_it_is_the_largest_chance_over_the_nuisance_parameter() -> None:
    """Against a plain double sum over all samples, ordered by a score with its variance found by search."""
    n, epsilon, delta, harms, gains = 60, 0.05, 0.02, 3, 7
    samples = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    q = np.linspace(epsilon + 1e-6, 1 - 1e-6, 4000)
    log_likelihood = samples @ np.log(np.array(((q + epsilon) / 2, (q - epsilon) / 2, 1 - q)))
    likeliest = q[log_likelihood.argmax(axis=1)]
    z = (samples[:, 0] - samples[:, 1] - n * epsilon) / np.sqrt(n * (likeliest - epsilon**2))
    region = samples[z <= z[(samples[:, :2] == (harms, gains)).all(axis=1)] + 1e-4]
    differing = harms + gains
    low, high = (
        beta.ppf(delta / 100, differing, n - differing + 1),
        beta.ppf(1 - delta / 100, differing + 1, n - differing),
    )
    inside = np.linspace(max(low, epsilon), high, 60)
    exact = max(multinomial.pmf(region, n, chances(at, epsilon)).sum() for at in inside) + delta / 50
    assert exact <= trinomial_count_p_value(harms, gains, n, epsilon, delta=delta) <= 1.05 * exact


def test_its_power_comes_near_the_normal_limit_and_beats_betting() -> None:
    n, runs, chance = 1000, 300, [0.10, 0.08, 0.82]  # mean 0.02 against ε = 0.05
    losses = np.random.default_rng(2).choice([1.0, -1.0, 0.0], p=chance, size=(runs, n))
    sigma = (0.18 - 0.02**2) ** 0.5
    limit = norm.cdf(0.03 * n**0.5 / sigma - norm.ppf(0.95))
    test = trinomial_test(0.05)
    power = np.mean([test(row, 0.05) <= 0.05 for row in losses])
    betting = np.mean([betting_p_value(row, 0.05, low=-1.0) <= 0.05 for row in losses])
    assert power >= limit - 0.05 - 2 * (limit * (1 - limit) / runs) ** 0.5
    assert power > betting


def test_where_there_is_no_gain_it_comes_close_to_the_binomial() -> None:
    for errors in (30, 34, 36):
        p, exact = trinomial_count_p_value(errors, 0, 1000, 0.05), binomial_p_value(errors, 1000, 0.05)
        assert exact <= p <= 1.4 * exact + 0.002
    assert exact == pytest.approx(binom.cdf(36, 1000, 0.05))


def test_bad_input_is_refused() -> None:
    for losses in ([0.5, 0.0], [np.nan], [1.0, -1.0, 2.0], [[0.0]]):
        with pytest.raises(EvidenceError):
            trinomial_p_value(losses, 0.05)  # type: ignore[arg-type]
    for epsilon, delta in ((1.0, 0.05), (-1.0, 0.05), (float("nan"), 0.05), (0.05, 0.0), (0.05, 1.0)):
        with pytest.raises(RequestError):
            trinomial_p_value([0.0], epsilon, delta=delta)
    with pytest.raises(EvidenceError):
        trinomial_count_p_value(3, 3, 5, 0.05)
    assert trinomial_p_value([], 0.05) == 1.0
