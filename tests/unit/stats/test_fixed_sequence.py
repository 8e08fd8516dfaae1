"""The walk over thresholds: where it stops, what it refuses, and how rarely the whole procedure certifies wrongly."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import (
    betting_test,
    binomial_p_value,
    exact_binomial,
    fixed_sequence_test,
    spent_delta,
    threshold_grid,
)

EPSILON, DELTA = 0.05, 0.1
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
evidence = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=120)


@given(evidence, st.floats(0.02, 0.6), st.floats(0.01, 0.5))
def test_it_stops_at_the_first_failure(rows: list[tuple[int, int]], epsilon: float, delta: float) -> None:
    signals, losses = np.array([g for g, _ in rows]), np.array([loss for _, loss in rows])
    thresholds = [9.0, 7.0, 4.5, 2.0, 0.0]
    result = fixed_sequence_test(signals, losses, thresholds, epsilon, delta)
    p_values = [
        binomial_p_value(int(losses[signals >= t].sum()), int((signals >= t).sum()), epsilon) for t in thresholds
    ]
    failures = [i for i, p in enumerate(p_values) if p > delta]
    first = failures[0] if failures else len(thresholds)
    assert result.threshold == (thresholds[first - 1] if first else None)
    assert [step.threshold for step in result.tested] == thresholds[: first + 1]
    assert [step.p_value for step in result.tested] == pytest.approx(p_values[: first + 1])
    assert (result.certified is None) == (result.threshold is None)
    if result.certified is not None:
        assert result.certified == result.tested[first - 1]


@given(evidence, st.randoms(use_true_random=False))
def test_with_the_exact_test_the_order_of_samples_is_nothing(rows: list[tuple[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    def run(pairs: list[tuple[int, int]]) -> object:
        signals, losses = [g for g, _ in pairs], [loss for _, loss in pairs]
        grid = threshold_grid(signals, losses, 0.2, 50, steps=5)
        return grid, fixed_sequence_test(signals, losses, grid, 0.2, 0.2)

    assert run(rows) == run(random.sample(rows, len(rows)))


@given(evidence, st.integers(1, 500), st.integers(1, 30))
def test_a_grid_is_strict_first_and_ends_with_everything(rows: list[tuple[int, int]], size: int, steps: int) -> None:
    signals = [float(g) for g, _ in rows]
    grid = threshold_grid(signals, [loss for _, loss in rows], 0.1, size, steps=steps)
    assert list(grid) == sorted(set(grid), reverse=True)
    assert grid[-1] == min(signals)
    assert len(grid) <= steps + 1
    assert set(grid) <= set(signals)


def test_the_grid_starts_where_rejecting_is_likely() -> None:
    signals = np.linspace(1, 0, 1000)
    errors = (np.arange(1000) % 10 == 0) & (signals < 0.5)  # none above 0.5, 10% below
    grid = threshold_grid(signals, errors, 0.05, 1000)
    assert 0.4 <= grid[0] <= 0.55
    # Ten samples above 0.99 could never reject; the walk does not start there and certifies far below.
    result = fixed_sequence_test(signals, errors, grid, 0.05, 0.05)
    assert result.threshold is not None and result.threshold < 0.3


def graded(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Risk per served request is exactly ε·1.001 at every threshold: nothing may be certified."""
    return rng.random(n), rng.beta(0.3, 0.3 * (1 / (1.001 * EPSILON) - 1), n)


def heavy_ties(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    signals = rng.choice([0.5, 0.9, 0.99], p=[0.3, 0.3, 0.4], size=n)
    return signals, (rng.random(n) < 1.001 * EPSILON).astype(float)


def just_bad(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random(n), (rng.random(n) < 1.001 * EPSILON).astype(float)


def tiny(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random(n), rng.uniform(0.0, 2.002 * EPSILON, n)


@pytest.mark.parametrize(
    ("draw", "test", "runs"),
    [
        (just_bad, exact_binomial, 1500),
        (heavy_ties, exact_binomial, 1500),
        (graded, betting_test(DELTA), 600),
        (tiny, betting_test(DELTA), 600),
    ],
)
def test_false_certificates_are_at_most_delta(draw: Draw, test: Callable[..., float], runs: int) -> None:
    rng = np.random.default_rng(41)
    wrong = 0
    for _ in range(runs):
        grid = threshold_grid(*draw(rng, 150), EPSILON, 300, steps=20)
        wrong += fixed_sequence_test(*draw(rng, 300), grid, EPSILON, DELTA, test).threshold is not None
    assert wrong / runs <= DELTA + 3 * (DELTA * (1 - DELTA) / runs) ** 0.5


def test_refitting_until_it_passes_does_not_buy_a_certificate() -> None:
    rng, runs, attempts, wrong, wrong_unspent = np.random.default_rng(42), 200, 20, 0, 0
    for _ in range(runs):
        levels: list[float] = []
        for _attempt in range(attempts):
            grid = threshold_grid(*just_bad(rng, 150), EPSILON, 300, steps=5)
            signals, losses = just_bad(rng, 300)
            levels.append(exact_binomial(losses[signals >= grid[0]], EPSILON))
        wrong += any(p <= spent_delta(DELTA, i) for i, p in enumerate(levels, 1))
        wrong_unspent += any(p <= DELTA for p in levels)
    assert wrong / runs <= DELTA + 3 * (DELTA * (1 - DELTA) / runs) ** 0.5
    assert wrong_unspent / runs > 0.5  # what spending is for


@given(st.floats(1e-6, 0.999), st.integers(1, 3000))
def test_all_attempts_together_spend_at_most_delta(delta: float, attempts: int) -> None:
    spent = [spent_delta(delta, i) for i in range(1, attempts + 1)]
    assert sum(spent) <= delta
    assert sum(spent) >= delta * (1 - 6 / (pi**2 * attempts)) - 1e-12
    assert spent == sorted(spent, reverse=True)
    with pytest.raises(RequestError):
        spent_delta(delta, 0)


def test_bad_evidence_is_never_a_certificate() -> None:
    good_signals, good_losses = np.linspace(0, 1, 200), np.zeros(200)
    assert fixed_sequence_test(good_signals, good_losses, [0.5], 0.05, 0.05).threshold == 0.5
    nan = np.append(np.zeros(199), np.nan)
    for signals, losses in (
        (nan, good_losses),
        (good_signals, nan),
        (good_signals, good_losses - 0.1),
        (good_signals, good_losses + 1.1),
        (good_signals[:-1], good_losses),
        ([], []),
        (np.append(good_signals[1:], np.inf), good_losses),
    ):
        with pytest.raises(EvidenceError):
            fixed_sequence_test(signals, losses, [0.5], 0.05, 0.05)
        with pytest.raises(EvidenceError):
            threshold_grid(signals, losses, 0.05, 100)
    with pytest.raises(EvidenceError):
        fixed_sequence_test(good_signals, good_losses, [0.5], 0.05, 0.05, lambda _losses, _epsilon: float("nan"))
    for thresholds in ([], [0.2, 0.5], [0.5, 0.5], [np.nan], [np.inf, 0.5]):
        with pytest.raises(RequestError):
            fixed_sequence_test(good_signals, good_losses, thresholds, 0.05, 0.05)
    for epsilon, delta in ((0.0, 0.05), (1.0, 0.05), (0.05, 0.0), (0.05, 1.0)):
        with pytest.raises(RequestError):
            fixed_sequence_test(good_signals, good_losses, [0.5], epsilon, delta)
    assert fixed_sequence_test(good_signals, good_losses, [5.0, 0.5], 0.05, 0.05).threshold is None
