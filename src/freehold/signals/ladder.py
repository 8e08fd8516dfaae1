"""Which rung shall answer, given what is expected of each: the one worth most at a price of a point of score.

A rung's answer is worth the dollars it saves less the price of the loss expected of it. At a high price only rungs that
are expected to lose nothing are worth anything; at price 0 the cheapest answers everything. In between, requests are
moved in the order of dollars saved per point lost, which is the order that saves most for any loss allowed (a
continuous knapsack; Neyman and Pearson's lemma). A walk from high to low prices is therefore the sequence to certify.

All costs are shares of the incumbent's mean cost; index 0 is the incumbent, k ≥ 1 the k-th candidate.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
MAX_PRICE = 1e6
"""At this price nothing that is expected to lose is worth anything."""


class Step(msgspec.Struct, frozen=True):
    """One point of the walk, from strict to lax."""

    price: float
    """Of a point of score, in mean costs of the incumbent."""
    offset: float
    """Added to every expected loss: a margin where it is positive; −ε where the loss counts per served request, since
    then a request may lose ε at no price."""


def worth(loss: Floats, saved: Floats, step: Step) -> Floats:
    """What answering is worth: `saved` less the price of `loss` (any shape; broadcast)."""
    return saved - step.price * (loss + step.offset)


def choose(losses: Floats, costs: Floats, step: Step) -> NDArray[np.intp]:
    """Who answers each of n requests, from the prompt alone: the candidate worth most, or 0 if none is worth anything.

    `losses` (n, k): expected of the candidates; `costs` (n, k + 1): expected of the incumbent and the candidates.
    """
    value = worth(losses, costs[:, :1] - costs[:, 1:], step)
    best = value.argmax(1)
    return np.where(value[np.arange(len(value)), best] > 0.0, best + 1, 0)


def worth_asking(loss: Floats, cost: Floats, incumbent: Floats, spread: float, step: Step) -> NDArray[np.bool_]:
    """Whether a rung shall be asked at all: its answer costs `cost` and is accepted with some probability.

    Its expected loss once it has answered is taken to be normal around `loss`, with s.d. `spread`.
    """
    return normal_cdf(_margin(loss, incumbent, spread, step)) * incumbent > cost


def acceptable(loss: Floats, incumbent: Floats, step: Step) -> NDArray[np.bool_]:
    """Whether an answer will do, with `loss` expected of it: asking the incumbent would cost `incumbent` more."""
    return worth(loss, incumbent, step) > 0.0


def chance_of_taking(loss: float, incumbent: float, spread: float, step: Step) -> float:
    """How likely a rung's answer will do, as in `worth_asking`, for one request."""
    return 1.0 / (1.0 + math.exp(-_logit(max(-8.0, min(8.0, _margin(loss, incumbent, spread, step))))))


def _margin(loss: Any, incumbent: Any, spread: float, step: Step) -> Any:
    """By how many `spread`s the expected loss is below the most that an answer may be expected to lose."""
    most = incumbent / max(step.price, 1e-9) - step.offset
    return (most - loss) / max(spread, 1e-6)


def normal_cdf(z: Floats) -> Floats:
    """The standard normal distribution function, by the logistic approximation of Bowling and others (2009).

    Off by at most 1.5e-4: here it only weighs whether a cheap call is worth its price.
    """
    return 1.0 / (1.0 + np.exp(-_logit(np.clip(z, -8.0, 8.0))))


def _logit(z: Any) -> Any:
    return z * (0.07056 * z * z + 1.5976)


def spread_of(before: Floats, after: Floats) -> float:
    """How far expected losses move when the answer is seen: s.d. of `after` − `before`."""
    return float(math.sqrt(max(1e-12, float(np.var(after - before)))))


class Expected(msgspec.Struct, frozen=True):
    """What is expected of n requests and k candidates, to decide on many at once."""

    losses: Floats
    """From the prompt alone, (n, k)."""
    costs: Floats
    """(n, k + 1)."""
    novelty: Floats
    """(n,)."""
    after: Floats | None = None
    """Losses expected once each rung has answered, its answer and those of the rungs before it seen, (n, k); None
    where rungs are chosen by the prompt alone."""

    def take(self, rows: NDArray[np.intp]) -> Expected:
        """What is expected of some of the requests."""
        after = None if self.after is None else self.after[rows]
        return Expected(self.losses[rows], self.costs[rows], self.novelty[rows], after)


class Climbed(msgspec.Struct, frozen=True):
    """Who answered each of n requests, and who was asked."""

    answerer: NDArray[np.intp]
    """0 for the incumbent, (n,)."""
    asked: NDArray[np.bool_]
    """(n, k + 1); asking costs, whether the answer is taken or not."""


def climb(
    expected: Expected, step: Step, rungs: tuple[int, ...], spreads: tuple[float, ...], novelty_limit: float
) -> Climbed:
    """Send n requests up the ladder.

    `rungs`: candidates in the order they are tried, counted from 1; `spreads`: of each of those (cascades only).
    Requests whose novelty is above the limit go to the incumbent at once.
    """
    n, k = expected.losses.shape
    known = expected.novelty <= novelty_limit
    asked = np.zeros((n, k + 1), bool)
    answerer = np.zeros(n, np.intp)
    if expected.after is None:
        columns = np.array(rungs) - 1
        chosen = choose(expected.losses[:, columns], expected.costs[:, [0, *rungs]], step)
        answerer = np.where(known, np.array((0, *rungs))[chosen], 0)
        asked[np.arange(n), answerer] = True
        return Climbed(answerer, asked)
    incumbent = expected.costs[:, 0]
    waiting = known.copy()
    for rung, spread in zip(rungs, spreads, strict=True):
        ask = waiting & worth_asking(expected.losses[:, rung - 1], expected.costs[:, rung], incumbent, spread, step)
        takes = ask & acceptable(expected.after[:, rung - 1], incumbent, step)
        asked[:, rung] = ask
        answerer[takes] = rung
        waiting &= ~takes
    asked[:, 0] = answerer == 0
    return Climbed(answerer, asked)
