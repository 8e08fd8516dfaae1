"""Walks: both risks, ladders of several rungs, one test per step; and which test is for which loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats import (
    betting_test,
    exact_binomial,
    fixed_sequence_test,
    loss_test,
    risk_losses,
    threshold_grid,
    trinomial_test,
    walk,
)
from freehold.stats.checks import FloatArray

EPSILON, DELTA = 0.05, 0.1
NOISE = 3 * (DELTA * (1 - DELTA) / 400) ** 0.5
rows = st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 1)), min_size=1, max_size=80)


@given(rows)
def test_thresholds_are_a_walk_and_traffic_risk_counts_escalations_as_no_loss(pairs: list[tuple[int, int]]) -> None:
    signals, losses = np.array([g for g, _ in pairs], float), np.array([loss for _, loss in pairs], float)
    thresholds = [8.0, 5.0, 2.0, 0.0]
    test = trinomial_test(0.3)
    for risk, sample in (("served", lambda t: losses[signals >= t]), ("traffic", lambda t: losses * (signals >= t))):
        whole = fixed_sequence_test(signals, losses, thresholds, 0.4, 0.3, test, risk=risk, low=-1.0)  # type: ignore[arg-type]
        steps = walk([sample(t) for t in thresholds], 0.4, 0.3, test, low=-1.0)
        assert [(step.loss_sum, step.p_value) for step in whole.tested] == [step[1:] for step in steps.tested]
        assert [step.accepted for step in whole.tested] == [int((signals >= s.threshold).sum()) for s in whole.tested]
        assert whole.threshold == (thresholds[steps.certified - 1] if steps.certified else None)
        assert whole.risk == risk


def test_a_walk_asks_for_no_step_past_the_first_failure() -> None:
    asked: list[int] = []

    def steps() -> Iterator[FloatArray]:
        for number, errors in enumerate((1, 2, 30, 0)):
            asked.append(number)
            yield np.repeat([1.0, 0.0], [errors, 300 - errors])

    result = walk(steps(), EPSILON, DELTA, exact_binomial)
    assert (result.certified, len(result.tested), asked) == (2, 3, [0, 1, 2])
    assert walk([], EPSILON, DELTA, exact_binomial).certified == 0
    assert walk([np.empty(0)], EPSILON, DELTA, exact_binomial).certified == 0
    everything = walk([np.zeros(300)] * 2, EPSILON, DELTA, [exact_binomial, betting_test(DELTA)])
    assert everything.certified == 2


def ladder(rng: np.random.Generator, n: int, risk: float) -> Iterator[FloatArray]:
    """The signed losses over all traffic of ever more accepting ladders of two rungs; `risk` is that of the last."""
    cheap, middle = rng.random(n), rng.random(n)
    first = np.where(rng.random(n) < 0.1 + 2 * risk, 1.0, np.where(rng.random(n) < 0.15, -1.0, 0.0))
    second = np.where(rng.random(n) < 0.07 + 2 * risk, 1.0, np.where(rng.random(n) < 0.1, -1.0, 0.0))
    for share in np.linspace(0.2, 0.5, 7):
        to_first = cheap < share
        to_second = ~to_first & (middle < share / (1 - share))
        yield risk_losses(np.where(to_first, first, second), to_first | to_second, "traffic")


def test_ladders_of_two_rungs_are_certified_jointly_at_delta() -> None:
    truth = [step.mean() for step in ladder(np.random.default_rng(7), 200_000, 0.05)]
    assert truth[0] < EPSILON < truth[-1]
    false, moved, test = 0, 0, trinomial_test(DELTA)
    for seed in range(400):
        steps = ladder(np.random.default_rng((51, seed)), 400, 0.05)
        certified = walk(steps, EPSILON, DELTA, test, low=-1.0).certified
        false += certified > 0 and truth[certified - 1] > EPSILON
        moved += certified > 0
    assert false / 400 <= DELTA + NOISE
    assert moved / 400 > 0.3


@pytest.mark.parametrize(("risk", "share"), [("served", 1.0), ("traffic", 0.5)])
def test_false_certificates_of_either_risk_are_at_most_delta(risk: str, share: float) -> None:
    """Signed losses whose risk is just above ε at the loosest threshold, and far above at stricter served ones."""
    wrong = 0
    for seed in range(400):
        rng = np.random.default_rng((52, seed))

        def draw(n: int, rng: np.random.Generator = rng) -> tuple[FloatArray, FloatArray]:
            u = rng.random(n)
            harm = 0.0505 / share + 0.1
            return rng.choice([0.2, 0.9], p=[1 - share, share], size=n), np.where(
                u < harm, 1.0, np.where(u > 0.9, -1.0, 0)
            )

        grid = threshold_grid(*draw(150), EPSILON, 300, steps=5, low=-1.0, risk=risk)  # type: ignore[arg-type]
        grid = tuple(t for t in grid if t >= 0.9) or (0.9,)
        result = fixed_sequence_test(*draw(300), grid, EPSILON, DELTA, trinomial_test(DELTA), risk=risk, low=-1.0)  # type: ignore[arg-type]
        wrong += result.threshold is not None
    assert wrong / 400 <= DELTA + NOISE


def test_each_kind_of_loss_has_its_test_and_a_loss_off_the_support_is_refused() -> None:
    for support, low, name, off in (
        ([0, 1], 0.0, "binomial", 0.5),
        ([0.0], 0.0, "binomial", 0.5),
        ([-1, 0, 1], -1.0, "trinomial", 0.5),
        ([0, 1], -1.0, "trinomial", -0.5),
        ([0, 0.5, 1], 0.0, "betting", -0.5),
        ([-1, 0.25], -1.0, "betting", 1.5),
    ):
        test, found = loss_test(support, 0.05, low)
        assert found == name
        assert 0.0 < test(np.zeros(400), 0.05) <= 0.05
        with pytest.raises(EvidenceError):
            test(np.append(np.zeros(400), off), 0.05)
    for support, low, error in (([], 0.0, RequestError), ([-1], 0.0, EvidenceError), ([np.nan], 0.0, EvidenceError)):
        with pytest.raises(error):
            loss_test(support, 0.05, low)


def test_bad_walks_are_refused() -> None:
    good = np.zeros(200)
    with pytest.raises(EvidenceError):
        walk([good], EPSILON, DELTA, lambda _losses, _epsilon: float("nan"))
    with pytest.raises(EvidenceError):
        walk([np.append(good, np.nan)], EPSILON, DELTA, exact_binomial)
    with pytest.raises(RequestError):
        walk([good, good], EPSILON, DELTA, [exact_binomial])
    with pytest.raises(RequestError):
        walk([good], 1.0, DELTA, exact_binomial)
    with pytest.raises(RequestError):
        risk_losses(good, good == 0.0, "both")  # type: ignore[arg-type]
    with pytest.raises(EvidenceError):
        risk_losses(good[1:], good == 0.0, "served")
