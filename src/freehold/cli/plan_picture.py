"""Cost against quality, as both the terminal and the report draw it: what is drawn, and between which ends."""

from __future__ import annotations

import math
from typing import NamedTuple

from freehold.domain.plans import CurvePoint, Plan


class Series(NamedTuple):
    """One line of the picture."""

    name: str
    kind: str
    """`best`, `walk` or `random`: how it is drawn."""
    points: tuple[CurvePoint, ...]


class Picture(NamedTuple):
    """Lines and marks in units of the figures, and the ends of the axes."""

    series: tuple[Series, ...]
    operating: CurvePoint | None
    incumbent: CurvePoint
    most_cost: float
    """The cost axis runs from 0 to this, in shares of always asking the incumbent."""
    scores: tuple[float, ...]
    """Ticks of the score axis, evenly apart; the first and last are its ends."""

    def place(self, point: CurvePoint) -> tuple[float, float]:
        """Where a point lies between the ends, each in [0, 1], from the lower left."""
        low, high = self.scores[0], self.scores[-1]
        return point.cost / self.most_cost, (point.score - low) / (high - low)


def picture_of(plan: Plan) -> Picture | None:
    """The plan's picture; None where nothing was fitted, so that there is nothing to draw."""
    if len(plan.curve) < 2 or not plan.random_mix:
        return None
    series = (
        Series("best possible, outcomes known beforehand", "best", _without_repeats(plan.best_possible)),
        Series("random mix", "random", plan.random_mix),
        Series("the ladder, strict to lax", "walk", _without_repeats(plan.curve)),
    )
    points = [point for line in series for point in line.points]
    scores = [point.score for point in points]
    most_cost = max(1.0, *(point.cost for point in points))
    return Picture(series, plan.operating_point, plan.random_mix[0], most_cost, _ticks(min(scores), max(scores)))


def _without_repeats(points: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
    return tuple(point for number, point in enumerate(points) if not number or point != points[number - 1])


def _ticks(low: float, high: float) -> tuple[float, ...]:
    """Round values evenly apart that enclose [low, high]: four to seven of them."""
    span = max(high - low, 0.01)
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(number * step, 6) for number in range(first, max(last, first + 1) + 1))
