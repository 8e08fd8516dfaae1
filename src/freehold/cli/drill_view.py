"""A drill's report as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freehold.cli.common import console, table
from freehold.domain.drills import OUTCOMES, DrillLine, DrillReport, Outcome

if TYPE_CHECKING:
    from rich.table import Table

_SAID: dict[Outcome, str] = {
    "certified": "owned, certified",
    "uncertified": "owned, not certified",
    "stand-in": "the stand-in",
    "failed": "failed",
    "spared": "let through: nothing owned could",
    "pinned": "let through: the caller insisted",
    "outside": "not in the drill",
}
MOST_LINES = 15


def show_report(report: DrillReport, title: str) -> None:
    """Print a report, or a forecast."""
    shown = console()
    click.secho(title, bold=True)
    summary = table("", "answered by", "requests", "share", right=("requests", "share"))
    for outcome in OUTCOMES:
        count = report.outcomes.get(outcome, 0)
        if count:
            summary.add_row(_SAID[outcome], f"{count:,}", f"{count / report.requests:.1%}")
    if report.requests:
        shown.print(summary)
        shown.print(_lines("By task", report.tasks, "no task"))
        shown.print(_lines("By API", report.apis, ""))
    if report.before is not None or report.during is not None:
        shown.print(_latency(report))
    if report.compared:
        shown.print(_compared(report))
    for heading, counts in (("What went wrong", report.errors), ("What these asked for", report.unable)):
        if counts:
            made = table(heading, "", "requests", right=("requests",))
            for said, count in counts.items():
                made.add_row(said, f"{count:,}")
            shown.print(made)
    for sentence in report.notes:
        click.echo(f"Note: {sentence}")
    for sentence in report.next_steps:
        click.echo(f"Next: {sentence}")


def _lines(title: str, lines: tuple[DrillLine, ...], nameless: str) -> Table:
    used: list[Outcome] = [outcome for outcome in OUTCOMES if any(outcome in line.outcomes for line in lines)]
    made = table(title, "", "requests", *used, right=("requests", *used))
    for line in lines[:MOST_LINES]:
        counts = (f"{line.outcomes.get(outcome, 0):,}" for outcome in used)
        made.add_row(line.name or nameless, f"{line.requests:,}", *counts)
    return made


def _latency(report: DrillReport) -> Table:
    columns = ("answers", "p50 ms", "p95 ms", "first byte p50 ms")
    made = table("How long answers took", "", *columns, right=columns)
    for name, latency in (("before", report.before), ("in the drill", report.during)):
        if latency is not None:
            figures = (f"{value:,.1f}" for value in (latency.p50, latency.p95, latency.first_byte_p50))
            made.add_row(name, f"{latency.answers:,}", *figures)
    return made


def _compared(report: DrillReport) -> Table:
    columns = ("compared", "same", "likeness")
    made = table("Beside the incumbent's answers", "", *columns, right=columns)
    for one in report.compared:
        made.add_row(one.name or "no task", f"{one.pairs:,}", f"{one.same / one.pairs:.0%}", f"{one.likeness:.2f}")
    return made
