"""The betting p-value: level by simulation, power against the exact test, ranges, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import betting_p_value, binomial_p_value
from freehold.stats.betting import betting_order

EPSILON, DELTA, SAMPLES, SIZE = 0.05, 0.05, 800, 200
NOISE = 3 * (DELTA * (1 - DELTA) / SAMPLES) ** 0.5


def null_losses(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Losses whose mean is exactly ε: the hardest case of H0."""
    shape = (SAMPLES, SIZE)
    if kind == "errors":
        return (rng.random(shape) < EPSILON).astype(float)
    if kind == "tiny":
        return rng.beta(0.2, 0.2 * (1 / EPSILON - 1), shape)
    if kind == "rare and large among tiny":
        return np.where(rng.random(shape) < 0.04, 1.0, 0.01 / 0.96)
    return np.where(rng.random(shape) < EPSILON / 0.3, 0.3, 0.0)


@pytest.mark.parametrize("kind", ["errors", "tiny", "rare and large among tiny", "two values"])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_a_true_null_is_rejected_at_most_at_delta(kind: str, delta: float) -> None:
    losses = null_losses(kind, np.random.default_rng(11))
    rejected = np.mean([betting_p_value(row, EPSILON, delta=delta) <= delta for row in losses])
    assert rejected <= delta + 3 * (delta * (1 - delta) / SAMPLES) ** 0.5


def test_signed_losses_keep_the_level_and_gain_offsets_harm() -> None:
    rng = np.random.default_rng(12)
    u = rng.random((SAMPLES, SIZE))
    null = np.where(u < 0.15, 1.0, np.where(u > 0.9, -1.0, 0.0))  # mean 0.05
    rejected = np.mean([betting_p_value(row, EPSILON, low=-1.0) <= DELTA for row in null])
    assert rejected <= DELTA + NOISE
    helped = np.where(u < 0.05, 1.0, np.where(u > 0.9, -1.0, 0.0))  # mean −0.05
    assert np.mean([betting_p_value(row, EPSILON, low=-1.0) <= DELTA for row in helped]) > 0.6


def test_on_errors_it_comes_close_to_the_exact_test() -> None:
    losses = (np.random.default_rng(13).random((300, 1000)) < 0.03).astype(float)
    betting = np.mean([betting_p_value(row, EPSILON) <= DELTA for row in losses])
    exact = np.mean([binomial_p_value(int(row.sum()), row.size, EPSILON) <= DELTA for row in losses])
    assert exact >= betting >= exact - 0.08


@pytest.mark.parametrize("kind", ["errors", "rare and large among tiny", "signed"])
@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_no_forecast_of_the_second_moment_can_break_the_level(kind: str, factor: float) -> None:
    rng = np.random.default_rng(16)
    if kind == "signed":
        losses = np.clip(rng.normal(0, 0.3, (SAMPLES, SIZE)), -0.9, 0.9) * (rng.random((SAMPLES, SIZE)) < 0.4) + EPSILON
    else:
        losses = null_losses(kind, rng)
    moment = factor * float(((losses - EPSILON) ** 2).mean())
    rejected = np.mean([betting_p_value(row, EPSILON, low=-1.0, second_moment=moment) <= DELTA for row in losses])
    assert rejected <= DELTA + NOISE


def test_a_forecast_brings_signed_losses_near_the_normal_limit() -> None:
    rng, n, runs = np.random.default_rng(17), 300, 300
    noise = np.clip(rng.normal(0, 0.35, (runs, n)), -0.8, 0.8) * (rng.random((runs, n)) < 0.3)
    losses = noise + EPSILON - 2.5 * noise.std() / n**0.5  # the normal limit rejects 80%
    moment = float(noise.var())
    without = np.mean([betting_p_value(row, EPSILON, low=-1.0) <= DELTA for row in losses])
    forecast = np.mean([betting_p_value(row, EPSILON, low=-1.0, second_moment=moment) <= DELTA for row in losses])
    assert forecast >= 0.6
    assert forecast >= without + 0.1


def test_low_variance_is_used() -> None:
    losses = np.random.default_rng(14).uniform(0.02, 0.05, 400)  # mean 0.035, never above ε
    assert betting_p_value(losses, EPSILON) <= 0.05
    assert betting_p_value(np.full(400, 0.05), EPSILON) == 1.0


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=80), st.floats(0.01, 0.9))
def test_it_is_a_probability_and_rescaling_changes_nothing(losses: list[float], epsilon: float) -> None:
    p = betting_p_value(losses, epsilon)
    assert 0.0 <= p <= 1.0
    rescaled = [6 * loss - 2 for loss in losses]
    assert betting_p_value(rescaled, 6 * epsilon - 2, low=-2.0, high=4.0 + 1e-12) == pytest.approx(p, rel=1e-6)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.data())
def test_a_smaller_loss_at_the_last_bet_is_never_held_against_it(losses: list[float], data: st.DataObject) -> None:
    smaller = list(losses)
    smaller[betting_order(len(losses))[-1]] = data.draw(st.floats(0, losses[betting_order(len(losses))[-1]]))
    assert betting_p_value(smaller, 0.1) <= betting_p_value(losses, 0.1)


def test_a_drift_within_the_sample_is_not_mistaken_for_a_low_mean() -> None:
    rates = EPSILON * np.linspace(0.2, 1.8, 400)
    losses = (np.random.default_rng(15).random((SAMPLES, 400)) < rates).astype(float)
    assert np.mean([betting_p_value(row, EPSILON) <= DELTA for row in losses]) <= DELTA + NOISE


@given(st.integers(0, 500))
def test_the_betting_order_is_a_permutation_that_spans_the_sample_early(n: int) -> None:
    order = betting_order(n)
    assert sorted(order) == list(range(n))
    if n >= 20:
        assert order[: n // 4].min() < n / 4 and order[: n // 4].max() > 3 * n / 4


def test_bad_input_is_refused() -> None:
    for losses in ([0.1, np.nan], [-0.1], [1.1], [np.inf]):
        with pytest.raises(EvidenceError):
            betting_p_value(losses, 0.05)
    for epsilon, low in ((0.0, 0.0), (1.0, 0.0), (-1.0, -1.0)):
        with pytest.raises(RequestError):
            betting_p_value([0.0], epsilon, low=low)
    for moment in (-0.1, np.nan, np.inf):
        with pytest.raises(RequestError):
            betting_p_value([0.0], 0.05, second_moment=moment)
    assert betting_p_value([0.05] * 9, 0.05, second_moment=0.0) == 1.0
    assert betting_p_value([], 0.05) == 1.0
