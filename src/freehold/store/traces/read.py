"""Reads traces: sealed rows together with what the journals hold and is not sealed yet. Needs polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from freehold.domain.traces import Kind, Trace
from freehold.store.journal.tail import Derive, beyond, unsealed, unsealed_traces
from freehold.store.store import Store
from freehold.store.traces.delta import Snapshot, collect
from freehold.store.traces.newest import newest
from freehold.store.traces.read_feedback import read_episode_feedback, read_feedback
from freehold.store.traces.rows import TRACE_COLUMNS, trace_of

__all__ = ["Derive", "get_trace", "read_episode_feedback", "read_feedback", "read_traces"]


class _Wanted(NamedTuple):
    """Which traces: all that is not None must hold."""

    since_ns: int | None
    until_ns: int | None
    task: str | None
    kinds: frozenset[str] | None
    trace_ids: frozenset[str] | None
    episode: str | None

    def rows(self) -> pl.Expr:
        """As a condition on rows of the table."""
        parts: list[Any] = [pl.lit(True)]
        if self.since_ns is not None:
            parts.append(pl.col("at_ns") >= self.since_ns)
        if self.until_ns is not None:
            parts.append(pl.col("at_ns") < self.until_ns)
        if self.task is not None:
            parts.append(pl.col("task") == self.task)
        if self.kinds is not None:
            parts.append(pl.col("kind").is_in(sorted(self.kinds)))
        if self.trace_ids is not None:
            parts.append(pl.col("trace_id").is_in(sorted(self.trace_ids)))
        if self.episode is not None:
            parts.append(pl.col("episode") == self.episode)
        return pl.all_horizontal(parts)

    def has(self, trace: Trace) -> bool:
        """The same of a trace."""
        return (
            (self.since_ns is None or trace.at_ns >= self.since_ns)
            and (self.until_ns is None or trace.at_ns < self.until_ns)
            and self.task in (None, trace.task)
            and (self.kinds is None or trace.kind in self.kinds)
            and (self.trace_ids is None or trace.trace_id in self.trace_ids)
            and self.episode in (None, trace.episode)
        )


def read_traces(
    store: Store,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    task: str | None = None,
    kinds: Sequence[Kind] | None = None,
    trace_ids: Sequence[str] | None = None,
    episode: str | None = None,
    columns: Sequence[str] | None = None,
    derive: Derive | None = None,
    newest_first: bool = False,
    limit: int | None = None,
) -> pl.DataFrame:
    """Traces with since_ns ≤ at_ns < until_ns, oldest first; every trace once.

    Memory is that of the rows and columns returned, and of one file of the table or one chunk of a journal.

    Args:
        store: where.
        since_ns: earliest, unix nanoseconds.
        until_ns: end, unix nanoseconds, not included.
        task: of one task only.
        kinds: of these kinds only.
        trace_ids: only these.
        episode: of this one only, whoever's it is.
        columns: which columns of `rows.TRACE_COLUMNS` to return; all if None.
        derive: if given, traces not sealed yet are included, derived by it; else sealed ones only.
        newest_first: the order; with `limit`, only the newest files are opened.
        limit: at most so many, the first in that order.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    wanted = _Wanted(
        since_ns,
        until_ns,
        task,
        None if kinds is None else frozenset(kinds),
        None if trace_ids is None else frozenset(trace_ids),
        episode,
    )
    names = list(columns or TRACE_COLUMNS)
    read = names if "at_ns" in names else [*names, "at_ns"]
    most = limit if newest_first else None
    tail = unsealed_traces(store, derive, read, wanted.has, most) if derive is not None else None
    table = store.traces.snapshot()
    parts = [_sealed(table, wanted, read, newest_first, limit)]
    if tail is not None:
        parts.append(beyond(table, tail).select(parts[0].columns))
    found = pl.concat(parts).sort("at_ns", descending=newest_first, maintain_order=True)
    return found.select(names) if limit is None else found.select(names).head(limit)


def get_trace(store: Store, trace_id: str) -> Trace | None:
    """The trace of this id, sealed or not, as it was recorded; None if there is none.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    for _, _, record in unsealed(store):
        if isinstance(record, Trace) and record.trace_id == trace_id:
            return record
    found = collect(store.traces.scan().filter(pl.col("trace_id") == trace_id).head(1))
    return trace_of(found.row(0, named=True)) if found.height else None


def _sealed(
    table: Snapshot, wanted: _Wanted, columns: Sequence[str], newest_first: bool, limit: int | None
) -> pl.DataFrame:
    if limit is not None and newest_first:
        return newest(table, wanted.rows(), columns, limit)
    rows = table.scan().filter(wanted.rows()).select(columns)
    return collect(rows if limit is None else rows.sort("at_ns", maintain_order=True).head(limit))
