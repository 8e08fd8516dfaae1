"""`freehold ledger`, `traces`, `events`: what was stored."""

from __future__ import annotations

from typing import Any

import click

from freehold.cli.common import (
    config_option,
    console,
    dollars,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
    when,
)
from freehold.domain.errors import NotFound

_BODY_SHOWN = 4_000


@click.command("traces")
@click.argument("trace", required=False)
@click.option("--task", help="Of one task only (name or id).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@config_option
@json_option
def traces_command(trace: str | None, task: str | None, limit: int, config: str | None, as_json: bool) -> None:
    """Show recent traces, or TRACE whole."""
    from freehold.record.derive import Deriver
    from freehold.store.read_traces import read_traces

    _, settings = settings_at(config)
    store = open_store(settings)
    if trace is not None:
        _show_trace(store, trace, as_json)
        return
    columns = ("trace_id", "at_ns", "kind", "task", "answered_by", "reason", "status", "duration_us", "cost_nanousd")
    wanted = find_task(store, task).task_id if task else None
    frame = read_traces(store, task=wanted, columns=columns, derive=Deriver(settings.upstreams)).tail(limit)
    rows = frame.to_dicts()
    if as_json:
        echo_json(rows)
        return
    made = table("Traces", "trace", "at", "kind", "answered by", "why", "status", "ms", "cost", right=("ms", "cost"))
    for row in rows:
        made.add_row(
            row["trace_id"],
            when(row["at_ns"]),
            row["kind"],
            row["answered_by"],
            row["reason"],
            str(row["status"]),
            f"{row['duration_us'] / 1000:.1f}",
            dollars(row["cost_nanousd"]),
        )
    console().print(made)


def _show_trace(store: Any, trace_id: str, as_json: bool) -> None:
    import msgspec

    from freehold.store.read_traces import get_trace

    found = get_trace(store, trace_id)
    if found is None:
        raise NotFound(f"There is no trace {trace_id}.", "`freehold traces` lists recent ones.")
    shown: dict[str, Any] = msgspec.to_builtins(found, builtin_types=(bytes,))
    for name in ("request", "response"):
        shown[name] = getattr(found, name).decode("utf-8", "replace")
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
@click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True)
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
    made = table("Events", "at", "what", "")
    for event in reversed(events):
        made.add_row(when(event.at_ns), event.kind, event.message)
    console().print(made)
