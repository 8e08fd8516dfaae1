"""A comparison as it is drawn: slices with bars around "no difference", and the worst examples side by side."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from freehold.domain.evaluations import Compared, Costs, Difference, Example, Slice, SliceKind

if TYPE_CHECKING:
    from freehold.domain.evaluations import Evaluation
    from freehold.store import Store

KINDS: dict[SliceKind, str] = {
    "all": "All",
    "length": "By length of the prompt",
    "value": "By the incumbent's answer",
    "time": "By time",
    "key": "By key",
}
LEAST_SCALE = 0.05
"""The bars go at least so far to either side."""
_ROOM = 1.08


class Bar(NamedTuple):
    """An interval on a scale of 0 to 100, with no difference at 50."""

    x: float
    width: float
    mean_x: float
    difference: Difference
    verdict: str
    """`worse`: for certain, among all slices; `better`: the interval lies above 0; else empty."""


class Line(NamedTuple):
    """A slice as it is drawn."""

    slice: Slice
    against_incumbent: Bar
    against_in_force: Bar | None


class Section(NamedTuple):
    """The slices of one kind."""

    title: str
    lines: tuple[Line, ...]


class Drawn(NamedTuple):
    """A comparison."""

    evaluation: Evaluation
    report: Compared
    sections: tuple[Section, ...]
    scale: float
    """What the bars' ends stand for."""
    costs: tuple[tuple[str, str], ...]
    """What, and how much."""
    examples: list[Example] | None
    """None: they were forgotten."""


def drawn(store: Store, evaluation: Evaluation) -> Drawn:
    """A stored comparison, ready to be drawn.

    Raises:
        StoreError: its examples cannot be read.
    """
    from freehold.store.evaluations import read_examples

    known: Any = evaluation.report
    report: Compared = known
    scale = _scale(report.slices)
    sections = tuple(
        Section(KINDS[by], tuple(_line(one, scale) for one in slices))
        for by, slices in groupby(report.slices, key=_kind)
    )
    return Drawn(evaluation, report, sections, scale, _costs(report.costs), read_examples(store, evaluation))


def _kind(one: Slice) -> SliceKind:
    return one.by


def _scale(slices: tuple[Slice, ...]) -> float:
    """The largest bound of those slices that say something; wider intervals of small ones are cut at the ends."""
    found = [LEAST_SCALE]
    for one in slices:
        if not one.small or len(slices) == 1:
            for difference in (one.against_incumbent, one.against_in_force):
                if difference is not None:
                    found += [abs(difference.lower), abs(difference.upper)]
    return min(1.0, max(found) * _ROOM)


def _line(one: Slice, scale: float) -> Line:
    before = one.against_in_force
    return Line(one, _bar(one.against_incumbent, scale), None if before is None else _bar(before, scale))


def _bar(found: Difference, scale: float) -> Bar:
    left, right = _place(found.lower, scale), _place(found.upper, scale)
    return Bar(
        x=min(left, 98.5),
        width=round(max(right - left, 1.5), 2),
        mean_x=min(_place(found.mean, scale), 98.5),
        difference=found,
        verdict="worse" if found.flagged else "better" if found.lower > 0 else "",
    )


def _place(value: float, scale: float) -> float:
    return round(50 + 50 * min(1.0, max(-1.0, value / scale)), 2)


def _costs(costs: Costs) -> tuple[tuple[str, str], ...]:
    rows: list[tuple[str, str]] = []
    for who, seconds in (("Candidate", costs.candidate_cpu_seconds), ("Student in force", costs.in_force_cpu_seconds)):
        if seconds is not None:
            rows.append((f"{who}, per answer", f"{seconds * 1000:,.1f} ms of CPU"))
    if costs.incumbent_dollars is not None:
        rows.append(("Incumbent, per 1,000 answers", f"${costs.incumbent_dollars * 1000:,.2f}"))
    for who, took in (
        ("Candidate", costs.candidate_ms),
        ("Student in force", costs.in_force_ms),
        ("Incumbent", costs.incumbent_ms),
    ):
        if took is not None:
            rows.append((f"{who}, median time", f"{took:,.0f} ms"))
    return tuple(rows)
