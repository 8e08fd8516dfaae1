"""What the journals hold and is not sealed yet, read in bounded memory. Needs polars.

The tail is read first and the table is looked at after that: a record sealed in between is in the table then, and its
position tells that it must not be counted in the tail as well (`beyond`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from freehold.domain.traces import Record, Trace
from freehold.store.store import Store
from freehold.store.traces.delta import Snapshot
from freehold.store.traces.derived import Derived
from freehold.store.traces.placement import placed
from freehold.store.traces.repeats import repeats
from freehold.store.traces.rows import TRACE_COLUMNS, trace_frame

Derive = Callable[[Trace], Derived]
"""`freehold.record.derive.Deriver`: what fills the derived columns of traces that are not sealed yet."""
WORKER, POSITION = "_worker", "_position"
_AT_ONCE = 2000
_AT_ONCE_BYTES = 32 * 1024 * 1024
"""Of bodies, before they are cut down to the columns that are asked for."""


def unsealed(store: Store) -> Iterator[tuple[str, int, Record]]:
    """(Worker, position, record) of all that lies beyond what the trace table says is sealed, as it will be sealed.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    table = store.traces.snapshot()
    for journal in store.journals():
        for position, record in journal.records(table.sealed_position(journal.worker)):
            yield journal.worker, position, placed(record) if isinstance(record, Trace) else record


def unsealed_traces(
    store: Store,
    derive: Derive,
    columns: Sequence[str],
    wanted: Callable[[Trace], bool],
    newest: int | None = None,
) -> pl.DataFrame:
    """Traces not sealed yet, with these columns and where each lies (for `beyond`).

    Args:
        store: where.
        derive: what fills derived columns.
        columns: of `rows.TRACE_COLUMNS`, `at_ns` among them.
        wanted: which traces.
        newest: no more than so many, the newest; None: all.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    kinds = {**{name: TRACE_COLUMNS[name] for name in columns}, WORKER: pl.String, POSITION: pl.Int64}
    found = pl.DataFrame(schema=kinds)
    for entries in _chunks(store, wanted):
        again = repeats(store.traces.snapshot, [trace for _, _, trace in entries])
        chunk = [entry for place, entry in enumerate(entries) if place not in again]
        places = {trace.trace_id: (worker, position) for worker, position, trace in chunk}
        traces = [trace for _, _, trace in chunk]
        rows = trace_frame(traces, [derive(trace) for trace in traces])
        lies = [places[trace_id] for trace_id in rows.get_column("trace_id").to_list()]
        rows = rows.select(columns).with_columns(
            pl.Series(WORKER, [worker for worker, _ in lies], pl.String),
            pl.Series(POSITION, [position for _, position in lies], pl.Int64),
        )
        found = pl.concat([found, rows])
        if newest is not None:
            found = found.sort("at_ns", descending=True, maintain_order=True).head(newest)
    return found


def beyond(table: Snapshot, tail: pl.DataFrame) -> pl.DataFrame:
    """The rows of a tail that this snapshot does not hold yet, without where they lie."""
    workers = tail.get_column(WORKER).unique().to_list()
    sealed = {worker: table.sealed_position(worker) for worker in workers}
    limit = pl.col(WORKER).replace_strict(sealed, default=0, return_dtype=pl.Int64)
    return tail.filter(pl.col(POSITION) > limit).drop(WORKER, POSITION)


def _chunks(store: Store, wanted: Callable[[Trace], bool]) -> Iterator[list[tuple[str, int, Trace]]]:
    chunk: list[tuple[str, int, Trace]] = []
    size = 0
    foreign: set[str] = set()
    for worker, position, record in unsealed(store):
        if not isinstance(record, Trace) or not wanted(record) or record.trace_id in foreign:
            continue
        if record.source:
            foreign.add(record.trace_id)
        chunk.append((worker, position, record))
        size += len(record.request) + len(record.response)
        if len(chunk) >= _AT_ONCE or size >= _AT_ONCE_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
