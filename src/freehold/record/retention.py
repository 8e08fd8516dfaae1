"""How long what was recorded is kept: rows that are too old go, and bodies are blanked before that.

A clock that jumps must not delete: rows count from the present or the newest record, whichever is earlier, and from one
day to the next what is kept since moves on by a week at most. So a clock that is years ahead, with records to match,
costs a week of rows a day, and says so, until somebody looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import polars as pl
import structlog

from freehold.config import RetentionSettings
from freehold.domain.erasures import Erasure
from freehold.domain.events import Event
from freehold.domain.ids import content_id, new_id
from freehold.store.locks import exclusive
from freehold.store.traces.delta import collect
from freehold.store.traces.messages import drop_unreferenced

if TYPE_CHECKING:
    from freehold.store import Store

DAY_NS = 24 * 3600 * 10**9
EVERY_NS = DAY_NS
MAX_ADVANCE_NS = 7 * DAY_NS
"""More than a day, so that a loop that was off catches up."""
_log = structlog.get_logger()


class Kept(NamedTuple):
    """What enforcing retention did."""

    cutoffs: dict[str, int]
    """traces, feedback, bodies → since when they are kept, in unix nanoseconds."""
    removed: dict[str, int]
    """traces, feedback, bodies → rows that went, or were blanked."""
    held_back: bool
    """A clock seems to have jumped: less was removed than the settings say."""


def enforce(store: Store, settings: RetentionSettings, now_ns: int, *, at_once: bool = False) -> Kept | None:
    """Remove and blank what is too old, if a day has gone since that was last done.

    Args:
        store: where.
        settings: how long to keep what.
        now_ns: the present, unix nanoseconds.
        at_once: now, and as far as the settings say: somebody asked for it. Newest records still bound it.

    Returns:
        What was done; None if there was nothing to do yet.

    Raises:
        LeaseHeld: a sealer is at work: try again.
        StoreError: a table cannot be read or written.
    """
    days = {"traces": settings.traces_days, "feedback": settings.feedback_days, "bodies": settings.bodies_days}
    days = {name: value for name, value in days.items() if value > 0}
    last = _last(store)
    if last is not None and last.at_ns > now_ns:  # the clock was ahead then: a day begins anew
        last = msgspec.structs.replace(last, at_ns=now_ns)
        store.control.erasures.put(last)
    if not days or not (at_once or last is None or now_ns >= last.at_ns + EVERY_NS):
        return None
    with exclusive(store.data / "sealer.lock"):
        wanted = {name: _cutoff(store, name, value, now_ns) for name, value in days.items()}
        before = {} if last is None or at_once else last.cutoffs
        cutoffs = {name: min(at, before.get(name, at) + MAX_ADVANCE_NS) for name, at in wanted.items()}
        removed = _remove(store, cutoffs)
    kept = Kept(cutoffs, removed, held_back=cutoffs != wanted)
    _note(store, kept, now_ns)
    return kept


def count_older(store: Store, settings: RetentionSettings, now_ns: int) -> dict[str, int]:
    """How many rows `enforce(…, at_once=True)` would remove.

    Raises:
        StoreError: a table cannot be read.
    """
    days = {"traces": settings.traces_days, "feedback": settings.feedback_days}
    found: dict[str, int] = {}
    for name, table in (("traces", store.traces), ("feedback", store.feedback)):
        old = pl.col("at_ns") < _cutoff(store, name, days[name], now_ns)
        found[name] = collect(table.scan().filter(old).select(pl.len())).item()
    return found


def _last(store: Store) -> Erasure | None:
    return next((item for item in store.control.erasures.list(newest_first=True) if item.kind == "age"), None)


def _cutoff(store: Store, name: str, days: float, now_ns: int) -> int:
    """Since when rows are kept; what is older goes."""
    table = store.feedback if name == "feedback" else store.traces
    newest = collect(table.scan().select(pl.col("at_ns").max())).item()
    return min(now_ns, newest if newest is not None else 0) - int(days * DAY_NS)


def _remove(store: Store, cutoffs: dict[str, int]) -> dict[str, int]:
    removed: dict[str, int] = {}
    episodes: set[str] = set()
    if "traces" in cutoffs:
        old = pl.col("at_ns") < cutoffs["traces"]
        rows = collect(store.traces.scan().filter(old).select("trace_id", "episode"))
        ids = rows.get_column("trace_id").implode()
        removed["feedback"] = store.feedback.delete(pl.col("trace_id").is_in(ids)) if rows.height else 0
        episodes |= set(rows.get_column("episode").drop_nulls().to_list())
        removed["traces"] = store.traces.delete(old)
    if "feedback" in cutoffs:
        gone = store.feedback.delete(pl.col("at_ns") < cutoffs["feedback"])
        removed["feedback"] = removed.get("feedback", 0) + gone
    if "bodies" in cutoffs:
        full = _full(cutoffs["bodies"])
        # Also runs whose bodies went an earlier time: it may have been killed before their messages were dropped.
        old = store.traces.scan().filter(pl.col("at_ns") < cutoffs["bodies"]).select("episode").unique()
        episodes |= set(collect(old).get_column("episode").drop_nulls().to_list())
        removed["bodies"] = store.traces.change(full, _blanked)
    episodes |= _orphans(store)
    if episodes:
        drop_unreferenced(store, sorted(episodes))
    if any(removed.values()):
        for table in (store.traces, store.feedback, store.messages):
            table.purge()
    return removed


def _orphans(store: Store) -> set[str]:
    """Agent runs whose messages are there, but no trace: it was killed before these were dropped."""
    traces = store.traces.scan().select("episode").unique()
    found = store.messages.scan().select("episode").unique().join(traces, on="episode", how="anti")
    return set(collect(found).get_column("episode").to_list())


def _full(cutoff_ns: int) -> pl.Expr:
    """Traces that are older and still have bodies, or answers read from them."""
    full = (pl.col("request") != b"") | (pl.col("response") != b"") | pl.col("answer").is_not_null()
    return (pl.col("at_ns") < cutoff_ns) & full.fill_null(False)


def _blanked(rows: pl.DataFrame) -> pl.DataFrame:
    empty = pl.lit(b"", pl.Binary)
    parts = {"request_parts": pl.lit(None, pl.Binary)} if "request_parts" in rows.columns else {}
    return rows.with_columns(request=empty, response=empty, answer=pl.lit(None, pl.String), **parts)


def _note(store: Store, kept: Kept, now_ns: int) -> None:
    """Keep what was done: the next time starts from it."""
    erasure = Erasure(
        erasure_id=new_id("er"),
        kind="age",
        who="",
        at_ns=now_ns,
        state="done",
        removed=kept.removed,
        cutoffs=kept.cutoffs,
        updated_ns=now_ns,
    )
    said = ", ".join(f"{count} {name}" for name, count in sorted(kept.removed.items()))
    message = f"Older than it may be kept: {said} removed or blanked."
    if kept.held_back:
        message += " Less than the settings say, as the clock, or the newest record, is far ahead of the last time."
        _log.warning("retention_held_back", hint="Check the clock; `freehold forget --older-than` removes at once.")
    with store.control.transaction():
        store.control.erasures.put(erasure)
        if any(kept.removed.values()) or kept.held_back:
            store.control.add_event(
                Event(
                    event_id=content_id("ev", b"retention", erasure.erasure_id.encode()),
                    at_ns=now_ns,
                    kind="retention-enforced",
                    task="",
                    message=message,
                    evidence=msgspec.to_builtins({"removed": kept.removed, "cutoffs": kept.cutoffs}),
                )
            )
