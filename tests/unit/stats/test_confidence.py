"""The confidence sequence: never wrong at any look in 1 − δ of streams, quick to see harm, safe to store."""

from __future__ import annotations

from itertools import pairwise
from math import log

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import ConfidenceSequence, SequenceState
from freehold.stats.confidence import log_wealth_above, log_wealth_below

DELTA, STREAMS, STEPS = 0.1, 600, 400
NOISE = 3 * (DELTA * (1 - DELTA) / STREAMS) ** 0.5


def ever_wrong(losses: np.ndarray, mean: float, high: float = 1.0) -> np.ndarray:
    """Per stream, whether the true mean was excluded at any of its steps, by the class's own counting and wealth."""
    values, codes = np.unique(losses, return_inverse=True)
    sequence = ConfidenceSequence(DELTA, high=high)
    rows = []
    for value in values:
        one = ConfidenceSequence(DELTA, high=high)
        one.update([value])
        rows.append(one.state().counts)
    per_value = np.array(rows)
    codes = codes.reshape(losses.shape)
    seen = np.stack([np.cumsum(codes == k, axis=1) for k in range(values.size)], axis=-1)
    knots, used = np.array(sequence.state().knots), per_value.any(axis=0)
    counts = seen @ per_value[:, used]
    target = log(2 / DELTA)
    above, below = (
        log_wealth_above(knots[used], counts, mean / high),
        log_wealth_below(knots[used], counts, mean / high),
    )
    return np.any((above >= target) | (below >= target), axis=1)


@pytest.mark.parametrize("mean", [0.002, 0.05, 0.3])
def test_peeking_at_every_step_is_free(mean: float) -> None:
    errors = (np.random.default_rng(21).random((STREAMS, STEPS)) < mean).astype(float)
    assert ever_wrong(errors, mean).mean() <= DELTA + NOISE


def test_peeking_is_free_with_graded_losses_between_knots() -> None:
    losses = np.random.default_rng(22).choice([0.0, 0.013, 0.27, 0.9], p=[0.7, 0.2, 0.08, 0.02], size=(STREAMS, STEPS))
    assert ever_wrong(losses, 0.2 * 0.013 + 0.08 * 0.27 + 0.02 * 0.9).mean() <= DELTA + NOISE


def test_weighted_audits_at_a_varying_rate_cover_the_mean_over_all_requests() -> None:
    rng = np.random.default_rng(23)
    rate = np.where(np.arange(STEPS) % 2, 0.1, 0.5)
    error = rng.random((STREAMS, STEPS)) < np.where(np.arange(STEPS) % 2, 0.02, 0.10)  # audited less where it is good
    audited = rng.random((STREAMS, STEPS)) < rate
    assert ever_wrong(np.where(audited & error, 1 / rate, 0.0), 0.06, high=10.0).mean() <= DELTA + NOISE


def weighted_values(rng: np.random.Generator, error_rate: np.ndarray, rates: tuple[float, float]) -> np.ndarray:
    """Loss times weight of every request; after an error was seen, audits are at the first rate for a while."""
    values = np.zeros(error_rate.shape)
    alarmed = np.zeros(len(error_rate), dtype=bool)
    for step in range(error_rate.shape[1]):
        rate = np.where(alarmed, *rates)
        seen = (rng.random(len(error_rate)) < error_rate[:, step]) & (rng.random(len(error_rate)) < rate)
        values[:, step] = seen / rate
        alarmed = seen | (alarmed & (rng.random(len(error_rate)) < 0.9))
    return values


def test_rates_that_follow_the_errors_seen_do_not_bias_the_bounds() -> None:
    values = weighted_values(np.random.default_rng(26), np.full((STREAMS, STEPS), 0.06), (0.8, 0.05))
    assert ever_wrong(values, 0.06, high=20.0).mean() <= DELTA + NOISE
    assert (values > 0).mean() > 0.06 * 0.05  # errors are seen: the bounds are not kept by silence


def test_bounds_hold_for_the_average_so_far_of_a_mean_that_drifts() -> None:
    drifting = np.linspace(0.01, 0.11, STEPS)
    averages = np.cumsum(drifting) / np.arange(1, STEPS + 1)
    values = weighted_values(np.random.default_rng(27), np.tile(drifting, (STREAMS, 1)), (0.5, 0.1))
    wrong = np.zeros(STREAMS, dtype=bool)
    counts = np.stack([np.cumsum(np.isclose(values, v).astype(float), axis=1) for v in (0.0, 2.0, 10.0)], axis=-1)
    knots = np.array([0.0, 0.2, 1.0])
    for step in range(19, STEPS, 20):
        mean = averages[step] / 10.0
        above = log_wealth_above(knots, counts[:, step], mean)
        below = log_wealth_below(knots, counts[:, step], mean)
        wrong |= np.maximum(above, below) >= log(2 / DELTA)
    assert wrong.mean() <= DELTA + NOISE


def test_a_sequence_of_audits_takes_any_of_its_rates_and_refuses_lower_ones() -> None:
    sequence = ConfidenceSequence.of_audits(0.05, [0.5, 0.02], low=-1.0)
    sequence.update([1.0, -1.0, 0.0, 1.0], [2.0, 50.0, 2.0, 1 / 0.3], unaudited=40)
    assert sequence.mean == pytest.approx((2 - 50 + 1 / 0.3) / 44)
    assert -50.0 <= sequence.lower < (2 - 50 + 1 / 0.3) / 44 < sequence.upper <= 50.0
    with pytest.raises(EvidenceError):
        sequence.update([1.0], [100.0])
    for rates in ([], [0.0], [1.5], [float("nan")]):
        with pytest.raises(RequestError):
            ConfidenceSequence.of_audits(0.05, rates)


@pytest.mark.parametrize(("true_loss", "most"), [(0.2, 45), (0.4, 12)])
def test_harm_is_seen_within_few_audits(true_loss: float, most: int) -> None:
    rng = np.random.default_rng(24)
    needed: list[int] = []
    for _ in range(25):
        sequence, audits = ConfidenceSequence(0.05), 0
        while sequence.lower <= 0.05:
            sequence.update([float(rng.random() < true_loss)])
            audits += 1
        needed.append(audits)
    assert np.median(needed) <= most


def test_bounds_close_in_on_the_mean() -> None:
    sequence = ConfidenceSequence(0.05)
    sequence.update((np.arange(20_000) % 20 == 0).astype(float))
    assert sequence.lower < 0.05 < sequence.upper
    assert sequence.upper - sequence.lower < 0.014
    assert sequence.mean == pytest.approx(0.05)


def test_bounds_are_where_the_wealth_reaches_its_mark() -> None:
    sequence = ConfidenceSequence(0.05, low=-1.0)
    sequence.update(np.random.default_rng(25).choice([-1.0, 0.0, 0.4, 1.0], p=[0.2, 0.5, 0.1, 0.2], size=300))
    assert sequence.log_evidence_above(sequence.lower) == pytest.approx(log(2 / 0.05), abs=1e-6)
    assert sequence.log_evidence_above(sequence.lower + 1e-3) < log(2 / 0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60), st.randoms(use_true_random=False), st.integers(0, 60))
def test_order_batches_and_restarts_change_nothing(losses: list[float], random, cut: int) -> None:  # type: ignore[no-untyped-def]
    whole = ConfidenceSequence(0.05)
    whole.update(losses)
    shuffled = random.sample(losses, len(losses))
    first = ConfidenceSequence(0.05)
    first.update(shuffled[:cut])
    stored = msgspec.json.encode(first.state())
    second = ConfidenceSequence.from_state(msgspec.json.decode(stored, type=SequenceState))
    second.update(shuffled[cut:])
    assert second.observations == len(losses)
    assert (second.lower, second.upper) == pytest.approx((whole.lower, whole.upper), abs=1e-9)
    if losses:
        assert whole.lower - 1e-12 <= np.mean(losses) <= whole.upper + 1e-12


def test_each_bound_moves_with_the_evidence() -> None:
    sequence = ConfidenceSequence(0.05)
    assert (sequence.lower, sequence.upper, sequence.mean) == (0.0, 1.0, None)
    uppers = [sequence.upper]
    for _ in range(30):
        sequence.update([0.0] * 5)
        uppers.append(sequence.upper)
    assert all(later < earlier for earlier, later in pairwise(uppers))
    before = sequence.lower
    sequence.update([1.0] * 5)
    assert sequence.lower > before


def test_totals_are_the_whole_state_of_errors_and_safe_for_graded_losses() -> None:
    errors, graded = ConfidenceSequence(0.05), ConfidenceSequence(0.05)
    errors.update(np.arange(300) % 10 == 0)
    assert ConfidenceSequence.from_totals(0.05, 300, 30).state() == errors.state()
    graded.update(np.full(300, 0.1))
    assert errors.lower < graded.lower < 0.1 < graded.upper < errors.upper
    for observations, loss_sum in ((5, 6.0), (5, -1.0), (5, float("nan"))):
        with pytest.raises(EvidenceError):
            ConfidenceSequence.from_totals(0.05, observations, loss_sum)


def test_unaudited_requests_count_as_zeros() -> None:
    weighted, plain = ConfidenceSequence(0.05, high=20.0), ConfidenceSequence(0.05, high=20.0)
    weighted.update([1.0, 0.0], [20.0, 20.0], unaudited=38)
    plain.update([20.0] + [0.0] * 39)
    assert weighted.state() == plain.state()


def test_bad_input_is_refused_and_adds_nothing() -> None:
    sequence = ConfidenceSequence(0.05, high=2.0)
    empty = sequence.state()
    for losses, weights in (([np.nan], None), ([2.1], None), ([-0.1], None), ([1.0], [3.0]), ([1.0], [-1.0])):
        with pytest.raises(EvidenceError):
            sequence.update(losses, weights)
    with pytest.raises(EvidenceError):
        sequence.update([1.0, 0.0], [1.0])
    with pytest.raises(RequestError):
        sequence.update([], unaudited=-1)
    assert sequence.state() == empty
    for delta in (0.0, 1.0, float("nan")):
        with pytest.raises(RequestError):
            ConfidenceSequence(delta)
    for damaged in ({"counts": (1.0,)}, {"observations": 7}, {"knots": tuple(reversed(empty.knots))}):
        with pytest.raises(EvidenceError):
            ConfidenceSequence.from_state(msgspec.structs.replace(empty, **damaged))
