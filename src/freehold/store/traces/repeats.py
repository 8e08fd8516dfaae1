"""Traces that came from outside and come again: an exporter that heard no answer sends its spans once more. Needs
polars.

What has a `source` has an id made of its content, so the same exchange has the same id whoever wrote it down. What this
gateway itself recorded has a new id each time, and is never looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from freehold.domain.traces import Trace
from freehold.store.traces.delta import Snapshot, collect


def repeats(table: Callable[[], Snapshot], traces: Sequence[Trace]) -> set[int]:
    """Which of `traces` (by their place) are in the table already, or earlier among them. `table` is called if there
    is anything to look for.

    Raises:
        StoreError: the table cannot be read.
    """
    foreign = [(place, trace) for place, trace in enumerate(traces) if trace.source]
    if not foreign:
        return set()
    times = [trace.at_ns for _, trace in foreign]
    ids = [trace.trace_id for _, trace in foreign]
    # By their time first: most files of the table are not even opened.
    near = pl.col("at_ns").is_between(min(times), max(times)) & (pl.col("source") != "")
    known = set(collect(table().scan().filter(near & pl.col("trace_id").is_in(ids)).select("trace_id")).to_series())
    found: set[int] = set()
    for place, trace in foreign:
        if trace.trace_id in known:
            found.add(place)
        known.add(trace.trace_id)
    return found
