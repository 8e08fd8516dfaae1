"""The trace and feedback tables: sealed records, read with polars. Needs polars and deltalake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from freehold.store.traces.delta import DeltaLog, collect
from freehold.store.traces.messages import MessageTable, Rejoiner
from freehold.store.traces.rows import ADDED, FEEDBACK_ADDED, FEEDBACK_COLUMNS, PARTS, SCHEMA_VERSION, STORED_COLUMNS


class TraceTable(DeltaLog):
    """Sealed traces: see `rows.TRACE_COLUMNS`. Readers see whole requests; see `rows.PARTS` for how they are stored."""

    def __init__(self, uri: str, messages: MessageTable, options: Mapping[str, str] | None = None) -> None:
        self._messages = messages
        super().__init__(
            uri,
            STORED_COLUMNS,
            indexed=("trace_id", "at_ns", "task", "kind", "of", "episode", "schema_version"),
            added={**ADDED, PARTS: pl.lit(None, pl.Binary)},
            sorted_by=("episode", "at_ns"),
            options=options,
            version=SCHEMA_VERSION,
            view=self._whole,
        )

    def append(self, rows: pl.DataFrame, positions: Mapping[str, int]) -> None:
        """As `DeltaLog.append`; rows without `rows.PARTS` have whole requests."""
        whole = rows if PARTS in rows.columns else rows.with_columns(pl.lit(None, pl.Binary).alias(PARTS))
        super().append(whole, positions)

    def stored_parts(self, episodes: Sequence[str]) -> list[tuple[str, bytes]]:
        """Episode and `rows.PARTS` of each trace of these episodes that has any.

        Raises:
            StoreError: the table cannot be read.
        """
        there = pl.col("episode").is_in(list(episodes)) & pl.col(PARTS).is_not_null()
        return collect(self.snapshot().stored().filter(there).select("episode", PARTS)).rows()

    def _whole(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        request = pl.struct("episode", "request", PARTS).map_batches(
            Rejoiner(self._messages), return_dtype=pl.Binary, is_elementwise=True
        )
        return rows.with_columns(request=request).drop(PARTS)


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
