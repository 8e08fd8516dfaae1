"""The change detector: its stated false-alarm rate, its delay, and its state."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import ChangeDetector, DetectorState
from freehold.stats.drift import detector_stakes, detector_step

BASELINE, EPSILON, ARL = 0.02, 0.06, 1000.0


def alarms(losses: np.ndarray, baseline: float = BASELINE) -> np.ndarray:
    """When each stream raises its alarm, counted from 1; 0 if it does not."""
    stakes = detector_stakes(baseline, EPSILON)
    wealth = np.zeros((len(losses), stakes.size))
    at = np.zeros(len(losses), dtype=int)
    for step in range(losses.shape[1]):
        wealth = detector_step(wealth, stakes, losses[:, step : step + 1] / baseline)
        at[(at == 0) & (wealth.mean(axis=1) >= ARL)] = step + 1
        wealth[at > 0] = 0.0
    return at


@pytest.mark.parametrize("kind", ["errors", "graded", "weighted"])
def test_false_alarms_within_t_audits_are_at_most_t_over_arl(kind: str) -> None:
    rng = np.random.default_rng(31)
    shape, within = (3000, 200), 200
    errors = (rng.random(shape) < BASELINE).astype(float)
    losses = {
        "errors": errors,
        "graded": rng.beta(0.3, 0.3 * (1 / BASELINE - 1), shape),
        "weighted": np.where(rng.random(shape) < 0.25, errors / 0.25, 0.0),
    }[kind]
    share = (alarms(losses) > 0).mean()
    stated = within / ARL
    assert share <= stated + 3 * (stated * (1 - stated) / shape[0]) ** 0.5


def test_the_mean_run_to_a_false_alarm_is_at_least_arl() -> None:
    losses = (np.random.default_rng(32).random((300, 6000)) < BASELINE).astype(float)
    at = alarms(losses)
    # Streams without an alarm are counted as if it had come at the end, which can only lower the mean.
    assert np.where(at > 0, at, losses.shape[1]).mean() >= ARL


@pytest.mark.parametrize(("after", "most"), [(0.4, 20), (0.2, 50), (0.1, 160)])
def test_a_change_is_seen_soon(after: float, most: int) -> None:
    rng = np.random.default_rng(33)
    before = (rng.random((400, 200)) < BASELINE).astype(float)
    changed = (rng.random((400, 1500)) < after).astype(float)
    at = alarms(np.hstack((before, changed)))
    delays = at[at > 200] - 200
    assert len(delays) >= 0.7 * len(at)
    assert np.median(delays) <= most


def test_state_survives_a_restart_and_batches_change_nothing() -> None:
    losses = np.where(np.arange(300) < 150, np.arange(300) % 50 == 0, np.arange(300) % 3 == 0).astype(float)
    whole = ChangeDetector(BASELINE, EPSILON, arl=ARL)
    assert whole.update(losses)
    pieces = ChangeDetector(BASELINE, EPSILON, arl=ARL)
    for piece in np.array_split(losses, 23):
        pieces.update(piece)
        pieces = ChangeDetector.from_state(msgspec.json.decode(msgspec.json.encode(pieces.state()), type=DetectorState))
    assert pieces.state() == whole.state()
    assert whole.alarm_at is not None and 150 < whole.alarm_at < 200
    assert whole.alarm_at == alarms(losses[None, :])[0]
    assert whole.score >= 1.0


def test_bad_input_is_refused() -> None:
    for baseline, epsilon in ((0.0, 0.1), (0.1, 0.1), (0.2, 0.1), (0.5, 1.5), (float("nan"), 0.1)):
        with pytest.raises(RequestError):
            ChangeDetector(baseline, epsilon)
    with pytest.raises(RequestError):
        ChangeDetector(0.01, 0.1, arl=1.0)
    detector = ChangeDetector(0.01, 0.1)
    for losses in ([np.nan], [-0.5], [np.inf]):
        with pytest.raises(EvidenceError):
            detector.update(losses)
    assert detector.observations == 0
    with pytest.raises(EvidenceError):
        ChangeDetector.from_state(msgspec.structs.replace(detector.state(), wealth=(1.0,)))
