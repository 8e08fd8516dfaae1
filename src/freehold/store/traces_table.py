"""The trace and feedback tables: sealed records, read with polars. Needs polars and deltalake."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.store.delta import DeltaLog
from freehold.store.rows import ADDED, FEEDBACK_ADDED, FEEDBACK_COLUMNS, SCHEMA_VERSION, TRACE_COLUMNS


class TraceTable(DeltaLog):
    """Sealed traces: see `rows.TRACE_COLUMNS`."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        super().__init__(
            uri,
            TRACE_COLUMNS,
            indexed=("trace_id", "at_ns", "task", "kind", "of", "episode", "schema_version"),
            added=ADDED,
            sorted_by=("episode", "at_ns"),
            options=options,
            version=SCHEMA_VERSION,
        )


class FeedbackTable(DeltaLog):
    """Sealed feedback: see `rows.FEEDBACK_COLUMNS`."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        super().__init__(
            uri,
            FEEDBACK_COLUMNS,
            indexed=("feedback_id", "trace_id", "at_ns", "schema_version"),
            added=FEEDBACK_ADDED,
            sorted_by=("at_ns",),
            options=options,
            version=SCHEMA_VERSION,
        )
