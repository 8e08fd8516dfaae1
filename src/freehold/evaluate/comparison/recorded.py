"""What recorded traffic knows of samples besides their texts: whose they were, and what the incumbent cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from freehold.store.traces.read import read_traces

if TYPE_CHECKING:
    from freehold.domain.evidence import Sample
    from freehold.store import Store


class Recorded(NamedTuple):
    """Of samples whose traces are still there."""

    keys: dict[str, str]
    """Trace id → the virtual key it was asked with."""
    incumbent_dollars: float | None
    """Mean per answer, of those whose price is known; None where none is."""
    incumbent_ms: float | None
    """Median time to the whole answer."""


def recorded_of(store: Store, task_id: str, samples: Sequence[Sample]) -> Recorded:
    """Look the samples' traces up.

    Raises:
        StoreError: the traces cannot be read.
    """
    if not samples:
        return Recorded({}, None, None)
    rows = read_traces(
        store,
        task=task_id,
        kinds=("request",),
        since_ns=min(sample.at_ns for sample in samples),
        trace_ids=[sample.trace_id for sample in samples],
        columns=("trace_id", "key", "owned", "cost_nanousd", "price_source", "duration_us"),
    ).rows(named=True)
    rented = [row for row in rows if not row["owned"]]
    dollars = [row["cost_nanousd"] / 1e9 for row in rented if row["price_source"] in ("config", "quoted")]
    return Recorded(
        keys={row["trace_id"]: row["key"] for row in rows if row["key"]},
        incumbent_dollars=fmean(dollars) if dollars else None,
        incumbent_ms=median(row["duration_us"] / 1000 for row in rented) if rented else None,
    )
