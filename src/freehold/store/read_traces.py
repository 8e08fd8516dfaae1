"""Reads traces and feedback: sealed rows together with what the journals hold and is not sealed yet. Needs polars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from freehold.domain.traces import Feedback, Kind, Record, Trace
from freehold.store.delta import Snapshot, collect
from freehold.store.derived import Derived
from freehold.store.rows import TRACE_COLUMNS, feedback_frame, trace_frame, trace_of
from freehold.store.store import Store

Derive = Callable[[Trace], Derived]
"""`freehold.record.derive.Deriver`: what fills the derived columns of traces that are not sealed yet."""


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
) -> pl.DataFrame:
    """Traces with since_ns ≤ at_ns < until_ns, oldest first; every trace once.

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

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    wanted = _condition(since_ns, until_ns, task, kinds, trace_ids, episode)
    names = list(columns or TRACE_COLUMNS)
    tail = _unsealed(store) if derive is not None else []
    # The tail was read first and the table is looked at again now, so a record sealed in between is in the table, and
    # its position tells that it must not be counted in the tail.
    table = store.traces.snapshot()
    sealed = table.scan().filter(wanted)
    parts = [collect(sealed.select(names + ["at_ns"] * ("at_ns" not in names)))]
    if derive is not None:
        fresh = [record for record in _beyond(table, tail) if isinstance(record, Trace)]
        frame = trace_frame(fresh, [derive(trace) for trace in fresh])
        parts.append(frame.filter(wanted).select(parts[0].columns))
    return pl.concat(parts).sort("at_ns", maintain_order=True).select(names)


def get_trace(store: Store, trace_id: str) -> Trace | None:
    """The trace of this id, sealed or not, as it was recorded; None if there is none.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    for _, _, record in _unsealed(store):
        if isinstance(record, Trace) and record.trace_id == trace_id:
            return record
    found = collect(store.traces.scan().filter(pl.col("trace_id") == trace_id).head(1))
    return trace_of(found.row(0, named=True)) if found.height else None


def read_feedback(store: Store, *, trace_ids: Sequence[str] | None = None) -> pl.DataFrame:
    """Feedback (on these traces), sealed or not, oldest first; every judgement once.

    A judgement of an episode is one of each of its requests: a row for each, with `episode` set.

    What came with a virtual key counts only on traces of the same key: a trace's id is no secret, and one tenant must
    not judge another's answers. What came without one is the organisation's own.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    wanted = pl.lit(True) if trace_ids is None else pl.col("trace_id").is_in(list(trace_ids))
    tail = _unsealed(store)
    table = store.feedback.snapshot()
    fresh = [record for record in _beyond(table, tail) if isinstance(record, Feedback)]
    given = pl.concat([collect(table.scan()), feedback_frame(fresh)])
    of_episodes = pl.col("episode").is_not_null() & (pl.col("trace_id") == "")
    on_traces = given.filter(~of_episodes & wanted)
    on_steps = _on_steps(store, given.filter(of_episodes), tail).filter(wanted)
    found = pl.concat([on_traces.filter(_may_judge(store, on_traces, tail)), on_steps.select(given.columns)])
    return found.sort("at_ns", maintain_order=True)


def read_episode_feedback(store: Store, episode: str) -> pl.DataFrame:
    """Judgements of this episode as a whole, sealed or not, oldest first, whoever gave them.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    tail = _unsealed(store)
    table = store.feedback.snapshot()
    fresh = [record for record in _beyond(table, tail) if isinstance(record, Feedback) and record.episode == episode]
    sealed = collect(table.scan().filter(pl.col("episode") == episode))
    return pl.concat([sealed, feedback_frame(fresh)]).sort("at_ns", maintain_order=True)


def _on_steps(store: Store, feedback: pl.DataFrame, tail: Sequence[tuple[str, int, Record]]) -> pl.DataFrame:
    """Judgements of episodes as judgements of their requests, as far as their keys may judge them."""
    episodes = set(feedback.get_column("episode").to_list())
    if not episodes:
        return feedback
    table = store.traces.snapshot()
    steps = table.scan().filter(pl.col("episode").is_in(list(episodes)), pl.col("kind") == "request")
    names = ["trace_id", "episode", "key"]
    fresh = [
        [getattr(record, name) for name in names]
        for record in _beyond(table, tail)
        if isinstance(record, Trace) and record.kind == "request" and record.episode in episodes
    ]
    unsealed = pl.DataFrame(fresh, schema=dict.fromkeys(names, pl.String), orient="row")
    own = pl.concat([collect(steps.select(names)), unsealed]).rename({"key": "owner"})
    joined = feedback.drop("trace_id").join(own, on="episode")
    return joined.filter(pl.col("key").is_null() | (pl.col("key") == pl.col("owner")))


def _may_judge(store: Store, feedback: pl.DataFrame, tail: Sequence[tuple[str, int, Record]]) -> pl.Series:
    """For each row whether its key may judge its trace."""
    keys, ids = feedback.get_column("key").to_list(), feedback.get_column("trace_id").to_list()
    judged = {trace_id for trace_id, key in zip(ids, keys, strict=True) if key is not None}
    if not judged:
        return pl.Series([True] * feedback.height, dtype=pl.Boolean)
    sealed = store.traces.scan().filter(pl.col("trace_id").is_in(list(judged)), pl.col("key").is_not_null())
    owners = {(trace_id, key) for trace_id, key in collect(sealed.select("trace_id", "key")).iter_rows()}
    owners |= {(record.trace_id, record.key) for _, _, record in tail if isinstance(record, Trace)}
    allowed = [key is None or (trace_id, key) in owners for trace_id, key in zip(ids, keys, strict=True)]
    return pl.Series(allowed, dtype=pl.Boolean)


def _unsealed(store: Store) -> list[tuple[str, int, Record]]:
    """(worker, position, record) of all that lies beyond what the trace table says is sealed."""
    table = store.traces.snapshot()
    return [
        (journal.worker, position, record)
        for journal in store.journals()
        for position, record in journal.records(table.sealed_position(journal.worker))
    ]


def _beyond(table: Snapshot, tail: Sequence[tuple[str, int, Record]]) -> Iterator[Record]:
    sealed = {worker: table.sealed_position(worker) for worker in {entry[0] for entry in tail}}
    return (record for worker, position, record in tail if position > sealed[worker])


def _condition(
    since_ns: int | None,
    until_ns: int | None,
    task: str | None,
    kinds: Sequence[str] | None,
    trace_ids: Sequence[str] | None,
    episode: str | None = None,
) -> pl.Expr:
    parts: list[Any] = [pl.lit(True)]
    if since_ns is not None:
        parts.append(pl.col("at_ns") >= since_ns)
    if until_ns is not None:
        parts.append(pl.col("at_ns") < until_ns)
    if task is not None:
        parts.append(pl.col("task") == task)
    if kinds is not None:
        parts.append(pl.col("kind").is_in(list(kinds)))
    if trace_ids is not None:
        parts.append(pl.col("trace_id").is_in(list(trace_ids)))
    if episode is not None:
        parts.append(pl.col("episode") == episode)
    return pl.all_horizontal(parts)
