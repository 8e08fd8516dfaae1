"""`freehold ledger`, `traces`, `events`: what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import (
    config_option,
    console,
    day_ns,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
    task_names,
    when,
)
from freehold.domain.errors import NotFound

if TYPE_CHECKING:
    from freehold.ledger import Ledger, Line
    from freehold.record.derive import Deriver
    from freehold.store import Store

_BODY_SHOWN = 4_000


@click.command("traces")
@click.argument("trace", required=False)
@click.option("--task", help="Of one task only (name or id).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@config_option
@json_option
def traces_command(trace: str | None, task: str | None, limit: int, config: str | None, as_json: bool) -> None:
    """Show recent traces, or TRACE whole."""
    from freehold.ledger import dollars
    from freehold.record.derive import Deriver
    from freehold.store.traces.read import read_traces

    _, settings = settings_at(config)
    store = open_store(settings)
    if trace is not None:
        _show_trace(store, trace, Deriver(settings.upstreams), as_json)
        return
    columns = ("trace_id", "at_ns", "kind", "task", "answered_by", "terms", "reason", "status", "duration_us",
               "cost_nanousd")  # fmt: skip
    wanted = find_task(store, task).task_id if task else None
    derive = Deriver(settings.upstreams)
    frame = read_traces(store, task=wanted, columns=columns, derive=derive, newest_first=True, limit=limit)
    rows = frame.reverse().to_dicts()
    if as_json:
        echo_json(rows)
        return
    made = table(
        "Traces", "trace", "at", "kind", "answered by", "terms", "why", "status", "ms", "cost", right=("ms", "cost")
    )
    for row in rows:
        made.add_row(
            row["trace_id"],
            when(row["at_ns"]),
            row["kind"],
            row["answered_by"],
            row["terms"],
            row["reason"],
            str(row["status"]),
            f"{row['duration_us'] / 1000:.1f}",
            dollars(row["cost_nanousd"]),
        )
    console().print(made)


def _show_trace(store: Store, trace_id: str, derive: Deriver, as_json: bool) -> None:
    import msgspec

    from freehold.store.traces.read import get_trace, read_traces

    found = get_trace(store, trace_id)
    if found is None:
        raise NotFound(f"There is no trace {trace_id}.", "`freehold traces` lists recent ones.")
    shown: dict[str, Any] = msgspec.to_builtins(found, builtin_types=(bytes,))
    for name in ("request", "response"):
        shown[name] = getattr(found, name).decode("utf-8", "replace")
    rows = read_traces(store, trace_ids=[trace_id], columns=("terms",), derive=derive)
    shown["terms"] = next(iter(rows.get_column("terms").to_list()), "")
    if as_json:
        echo_json(shown)
        return
    made = table(trace_id, "", "")
    for name, value in shown.items():
        text = when(value) if name == "at_ns" else str(value)
        made.add_row(name, text if len(text) <= _BODY_SHOWN else f"{text[:_BODY_SHOWN]} … ({len(text)} characters)")
    console().print(made, markup=False)


@click.command("events")
@click.option("--task", help="Of one task only (name or id).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True, help="How many.")
@config_option
@json_option
def events_command(task: str | None, limit: int, config: str | None, as_json: bool) -> None:
    """Show what happened, newest last."""
    _, settings = settings_at(config)
    store = open_store(settings)
    events = store.control.events(limit, find_task(store, task).task_id if task else None)
    if as_json:
        echo_json(events)
        return
    names = task_names(store)
    made = table("Events", "at", "what", "task", "")
    for event in reversed(events):
        made.add_row(when(event.at_ns), event.kind, names.get(event.task, event.task), event.message)
    console().print(made)


@click.command("ledger")
@click.option("--since", metavar="DATE", help="From this day on (YYYY-MM-DD, UTC).")
@click.option(
    "--by", type=click.Choice(["task", "day", "model", "key"]), default="task", show_default=True, help="One line each."
)
@config_option
@json_option
def ledger_command(since: str | None, by: str, config: str | None, as_json: bool) -> None:
    """Show what was spent, what ownership saved, and what proving it cost."""
    from freehold.ledger import dollars, ledger
    from freehold.record.derive import Deriver

    _, settings = settings_at(config)
    since_ns = None if since is None else day_ns(since)
    accounts = ledger(open_store(settings), since_ns, derive=Deriver(settings.upstreams))
    if as_json:
        echo_json(_as_document(accounts))
        return
    figures = ("requests", "owned", "spent", "would have cost", "audits", "repeats", "saved")
    made = table("Ledger", by, *figures, right=figures)
    lines = {"task": accounts.tasks, "day": accounts.days, "model": accounts.models, "key": accounts.keys}[by]
    for line in (*lines, accounts.total):
        amounts = (line.spent, line.would_have, line.audits, line.repeats, line.saved)
        made.add_row(
            line.name, f"{line.requests:,}", f"{line.owned_share:.0%}", *(dollars(money.total) for money in amounts)
        )
    console().print(made)
    saved = accounts.total.saved
    click.echo(
        f"Saved {dollars(saved.total)} net of what proving it cost: {dollars(saved.measured)} measured, "
        f"{dollars(saved.quoted)} at list prices, {dollars(saved.assumed)} from estimated tokens."
    )
    total = accounts.total
    if total.rungs.total or total.wasted.total:
        click.echo(
            f"Of ladders: {dollars(total.rungs.total)} spent on rented models for answers that would have cost "
            f"{dollars(total.moved.total)}, and {dollars(total.wasted.total)} on calls whose answers were not used."
        )
    if total.shadows.total:
        click.echo(f"Of candidates: {dollars(total.shadows.total)} spent on asking them beforehand.")
    if total.judges.total:
        click.echo(f"Of judges: {dollars(total.judges.total)} spent on asking which answer is better.")


def _as_document(accounts: Ledger) -> dict[str, Any]:
    """The ledger as plain data: beside the nano-dollars of each line, what is computed from them, in dollars."""
    import msgspec

    from freehold.ledger.money import NANO

    def line_of(line: Line) -> dict[str, Any]:
        names = ("spent", "rungs", "moved", "would_have", "audits", "repeats", "wasted", "shadows", "judges")
        amounts = {name: getattr(line, name).total / NANO for name in names}
        figures = {f"{name}_usd": amount for name, amount in amounts.items()}
        shares = {"owned_share": line.owned_share, "saved_usd": line.saved.total / NANO}
        return {**msgspec.to_builtins(line), **figures, **shares}

    lines = {name: [line_of(line) for line in getattr(accounts, name)] for name in ("tasks", "days", "models", "keys")}
    return {**msgspec.to_builtins(accounts), **lines, "total": line_of(accounts.total)}
