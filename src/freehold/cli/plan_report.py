"""A plan as a report: one HTML file with everything in it, that opens anywhere and prints well."""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from freehold import __version__
from freehold.cli import plan_words as words
from freehold.cli.plan_picture import Picture, picture_of
from freehold.domain.plans import CurvePoint, Plan

WIDTH, HEIGHT = 720.0, 300.0
"""Of the picture's plot, in SVG units."""
_COST_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Line(NamedTuple):
    """One line of the picture, as it is drawn."""

    name: str
    kind: str
    points: str


class Drawing(NamedTuple):
    """The picture in SVG units, the origin at the upper left."""

    lines: tuple[Line, ...]
    operating: tuple[float, float] | None
    incumbent: tuple[float, float]
    columns: tuple[tuple[float, str], ...]
    """Ticks of the cost axis: where, and what they say."""
    rows: tuple[tuple[float, str], ...]
    """Ticks of the score axis."""


def report(plan: Plan, file: str) -> str:
    """The report on a plan made from `file`, as HTML. Names from outside are escaped by the template engine."""
    from freehold.dashboard.show import render

    drawn = picture_of(plan)
    style = files("freehold.dashboard").joinpath("static/style.css").read_text(encoding="utf-8")
    return render(
        "plan.html",
        plan=plan,
        file=file,
        drawing=None if drawn is None else drawing(drawn),
        width=WIDTH,
        height=HEIGHT,
        style=style,
        words=words,
        version=__version__,
    )


def drawing(drawn: Picture) -> Drawing:
    """The picture's geometry."""
    low, high = drawn.scores[0], drawn.scores[-1]
    lines = tuple(
        Line(line.name, line.kind, " ".join("{},{}".format(*_place(drawn, point)) for point in line.points))
        for line in drawn.series
    )
    return Drawing(
        lines,
        None if drawn.operating is None else _place(drawn, drawn.operating),
        _place(drawn, drawn.incumbent),
        tuple((round(WIDTH * tick / drawn.most_cost, 1), f"{tick:.0%}") for tick in _COST_TICKS),
        tuple((round(HEIGHT * (high - tick) / (high - low), 1), f"{tick:.4g}") for tick in drawn.scores),
    )


def _place(drawn: Picture, point: CurvePoint) -> tuple[float, float]:
    x, y = drawn.place(point)
    return round(WIDTH * x, 1), round(HEIGHT * (1.0 - y), 1)
