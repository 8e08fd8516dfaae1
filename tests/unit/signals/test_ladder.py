"""Who answers at which price: against the same decision made one request at a time, by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from freehold.signals.ladder import Expected, Step, choose, climb, normal_cdf

seeds = st.integers(0, 10_000)
steps = st.builds(Step, st.floats(0.0, 100.0), st.floats(-0.1, 0.1))


def expected(seed: int, *, cascade: bool) -> Expected:
    rng = np.random.default_rng(seed)
    n, k = 12, 3
    return Expected(
        rng.normal(0.1, 0.2, (n, k)),
        np.hstack((rng.uniform(0.5, 2.0, (n, 1)), rng.uniform(0.01, 0.6, (n, k)))),
        rng.random(n),
        rng.normal(0.1, 0.2, (n, k)) if cascade else None,
    )


@given(seeds, steps)
def test_the_rung_worth_most_answers(seed: int, step: Step) -> None:
    known = expected(seed, cascade=False)
    chosen = choose(known.losses, known.costs, step)
    for row, answerer in enumerate(chosen):
        worths = [0.0] + [
            known.costs[row, 0] - known.costs[row, k] - step.price * (known.losses[row, k - 1] + step.offset)
            for k in (1, 2, 3)
        ]
        assert worths[answerer] == max(worths)


@given(seeds, st.floats(0.1, 100.0), st.floats(-0.1, 0.1))
def test_a_higher_price_moves_fewer_requests(seed: int, price: float, offset: float) -> None:
    known = expected(seed, cascade=False)
    lax = choose(known.losses[:, :1], known.costs[:, :2], Step(price, max(offset, 0.0)))
    strict = choose(known.losses[:, :1], known.costs[:, :2], Step(2 * price, max(offset, 0.0) + 0.01))
    gains = known.losses[:, 0] < 0  # what is expected to gain may move at any price
    assert not ((strict > 0) & (lax == 0) & ~gains).any()


@given(seeds, steps)
def test_a_cascade_asks_in_turn_and_pays_for_every_call(seed: int, step: Step) -> None:
    known = expected(seed, cascade=True)
    assert known.after is not None
    climbed = climb(known, step, (3, 1), (0.1, 0.2), 0.8)
    for row in range(12):
        answerer, asked = 0, set[int]()
        for rung, spread in ((3, 0.1), (1, 0.2)) if known.novelty[row] <= 0.8 else ():
            most = known.costs[row, 0] / max(step.price, 1e-9) - step.offset
            chance = norm.cdf((most - known.losses[row, rung - 1]) / spread)
            if abs(chance * known.costs[row, 0] - known.costs[row, rung]) < 1e-3:
                return  # too close to call: the approximation of the normal may decide otherwise
            if chance * known.costs[row, 0] <= known.costs[row, rung]:
                continue
            asked.add(rung)
            if known.costs[row, 0] > step.price * (known.after[row, rung - 1] + step.offset):
                answerer = rung
                break
        asked |= {0} if answerer == 0 else set()
        assert climbed.answerer[row] == answerer
        assert set(np.flatnonzero(climbed.asked[row])) == asked


def test_strangers_go_to_the_incumbent_at_any_price() -> None:
    for cascade in (False, True):
        known = expected(1, cascade=cascade)
        climbed = climb(known, Step(0.0, -1.0), (1, 2), (0.1, 0.1), novelty_limit=-1.0)
        assert not climbed.answerer.any() and climbed.asked[:, 0].all() and climbed.asked.sum() == 12


def test_the_normal_approximation_is_close() -> None:
    z = np.linspace(-10, 10, 2001)
    assert np.abs(normal_cdf(z) - norm.cdf(z)).max() < 2e-4
