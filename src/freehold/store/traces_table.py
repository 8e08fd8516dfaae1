"""The trace and feedback tables: sealed records, read with polars. Needs polars and deltalake."""

from __future__ import annotations

from freehold.store.delta import DeltaLog
from freehold.store.rows import ADDED, FEEDBACK_ADDED, FEEDBACK_COLUMNS, TRACE_COLUMNS


class TraceTable(DeltaLog):
    """Sealed traces: see `rows.TRACE_COLUMNS`."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, TRACE_COLUMNS, indexed=("trace_id", "at_ns", "task", "kind", "of"), added=ADDED)


class FeedbackTable(DeltaLog):
    """Sealed feedback: see `rows.FEEDBACK_COLUMNS`."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, FEEDBACK_COLUMNS, indexed=("feedback_id", "trace_id", "at_ns"), added=FEEDBACK_ADDED)
