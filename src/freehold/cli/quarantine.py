"""`freehold quarantine`: put keys, subjects, sources or traces aside; see what is, and what should be."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

import click

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
    task_names,
    when,
)
from freehold.domain.erasures import QuarantineKind
from freehold.domain.errors import NotFound, RequestError

if TYPE_CHECKING:
    from freehold.curate.poisoning.report import Suspicions
    from freehold.store import Store

SHOWN = 10


@click.group("quarantine")
def quarantine_command() -> None:
    """Put keys, subjects, sources or traces aside: no new dataset takes their rows."""


@quarantine_command.command("add")
@click.option("--key", metavar="ID", help="All rows of a virtual key.")
@click.option("--subject", metavar="NAME", help="All rows of a subject.")
@click.option("--source", metavar="NAME", help="All rows that were imported from this format.")
@click.option("--trace", metavar="ID", help="One exchange; what certifies is left as it was drawn.")
@click.option("--task", help="For this task only (name or id).")
@click.option("--reason", default="Put aside by hand.", show_default=True, help="Why, for the record.")
@config_option
@json_option
def add_command(
    key: str | None,
    subject: str | None,
    source: str | None,
    trace: str | None,
    task: str | None,
    reason: str,
    config: str | None,
    as_json: bool,
) -> None:
    """Put one thing aside. Datasets that are there already stay as they are."""
    from freehold.curate.poisoning.aside import put_aside

    given: dict[QuarantineKind, str | None] = {"key": key, "subject": subject, "source": source, "trace": trace}
    named: list[tuple[QuarantineKind, str]] = [(kind, value) for kind, value in given.items() if value]
    if len(named) != 1:
        raise RequestError(
            "Say what to put aside: one of --key, --subject, --source and --trace.",
            "`freehold quarantine report TASK` proposes keys.",
        )
    _, settings = settings_at(config)
    store = open_store(settings)
    kind, value = named[0]
    made = put_aside(store, kind, value, reason, find_task(store, task).task_id if task else "")
    if as_json:
        echo_json(made)
    else:
        click.echo(f"{kind} {value} is put aside as {made.quarantine_id}; the next dataset leaves its rows out.")


@quarantine_command.command("list")
@config_option
@json_option
def list_command(config: str | None, as_json: bool) -> None:
    """List what is put aside now."""
    from freehold.curate.poisoning.aside import in_force

    _, settings = settings_at(config)
    store = open_store(settings)
    found = in_force(store)
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("Nothing is put aside. `freehold quarantine report TASK` says what should be looked at.")
        return
    names = task_names(store)
    made = table("Put aside", "id", "what", "value", "task", "since", "why")
    for item in found:
        task = names.get(item.task, item.task) if item.task else "all"
        made.add_row(item.quarantine_id, item.kind, item.value, task, when(item.created_ns), item.reason)
    console().print(made)


@quarantine_command.command("lift")
@click.argument("quarantine")
@config_option
@json_option
def lift_command(quarantine: str, config: str | None, as_json: bool) -> None:
    """Let the rows of QUARANTINE (an id, or its beginning) into new datasets again."""
    from freehold.curate.poisoning.aside import in_force, lift

    _, settings = settings_at(config)
    store = open_store(settings)
    wanted = quarantine.removeprefix("qu_")
    found = [item for item in in_force(store) if wanted and item.quarantine_id.removeprefix("qu_").startswith(wanted)]
    if len(found) != 1:
        raise NotFound(
            f"{quarantine!r} is the beginning of {len(found)} quarantines in force.",
            "`freehold quarantine list` shows their ids.",
        )
    lifted = lift(store, found[0].quarantine_id)
    if as_json:
        echo_json(lifted)
    else:
        click.echo(f"{lifted.kind} {lifted.value} is no longer put aside.")


@quarantine_command.command("report")
@click.argument("task")
@config_option
@json_option
def report_command(task: str, config: str | None, as_json: bool) -> None:
    """Say what is suspicious in TASK's rows: keys whose feedback contradicts all others, and what stands out."""
    _, settings = settings_at(config)
    store = open_store(settings)
    found = find_task(store, task)
    report = _suspicions(store, found.task_id, config)
    if as_json:
        echo_json({
            "task": found.task_id, "rows": report.rows, "judged": report.judged, "named": report.named,
            "keys": [item._asdict() for item in report.keys], "unjudged": report.unjudged,
            "outliers": [item._asdict() for item in report.outliers], "shares": report.shares,
        })  # fmt: skip
        return
    _show(report, found.name)


def _suspicions(store: Store, task_id: str, config: str | None) -> Suspicions:
    from freehold.curate.poisoning.report import suspicions
    from freehold.curate.poisoning.rows import rows_of_task
    from freehold.record.sealer import Sealer

    _, settings = settings_at(config)
    Sealer(store, settings.upstreams).seal_once()
    today = datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date()
    return suspicions(rows_of_task(store, settings, task_id, today))


def _show(report: Suspicions, name: str) -> None:
    click.echo(f"{name}: {report.rows} rows, {report.judged} of them judged.")
    if report.unjudged:
        click.echo(f"Feedback cannot be held against what others say. {report.unjudged}")
    if report.keys:
        figures = ("judged", "contradicted", "others", "q-value")
        made = table("Feedback that all others contradict", "key", *figures, "", right=figures)
        for item in report.keys[:SHOWN]:
            verdict = "[bold red]put it aside[/]" if item.named else ""
            made.add_row(item.key, str(item.judged), f"{item.rate:.0%}", f"≤ {item.expected:.0%}",
                         f"{item.q_value:.2g}", verdict)  # fmt: skip
        console().print(made)
    if report.shares:
        made = table(
            "Who has most of it", "key", "of the rows", "of the feedback", right=("of the rows", "of the feedback")
        )
        for key, share, judged in report.shares[:SHOWN]:
            made.add_row(key, f"{share:.1%}", f"{judged:.1%}")
        console().print(made)
    if report.outliers:
        made = table(f"{len(report.outliers)} rows stand out", "trace", "key", "why", "by", right=("by",))
        for item in report.outliers[:SHOWN]:
            made.add_row(item.row, item.key or "", item.why, f"{item.measure:.2g}")
        console().print(made)
    for key in report.named:
        click.echo(f"freehold quarantine add --key {key}")
