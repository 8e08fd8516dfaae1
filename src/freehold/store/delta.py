"""An append-only Delta Lake table with exactly-once appends per journal. Needs polars and deltalake.

Each append commits its rows together with the journal position they reach (a Delta application transaction named
after the worker), so either both are there or neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import ArrayType, Field, PrimitiveType
from polars.exceptions import PanicException, PolarsError

from freehold.domain.errors import Conflict, StoreError

ROW_GROUP = 1024
SMALL_FILES = 64
"""So many files and a compaction is worth its work."""
TARGET_FILE_BYTES = 128 * 1024 * 1024
KEEP_HOURS = 24
"""How long files that a compaction replaced stay for readers that still use them."""

_TYPES: dict[Any, Any] = {
    pl.String: PrimitiveType("string"),
    pl.Int64: PrimitiveType("long"),
    pl.Float64: PrimitiveType("double"),
    pl.Boolean: PrimitiveType("boolean"),
    pl.Binary: PrimitiveType("binary"),
    pl.List(pl.String): ArrayType(PrimitiveType("string"), contains_null=True),
}
_WRITER = WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP)


class Snapshot:
    """A table as of one commit: its rows, and how far each journal is sealed in them."""

    def __init__(self, table: DeltaTable, added: Mapping[str, pl.Expr]) -> None:
        self._table = table
        self._added = added

    def sealed_position(self, worker: str) -> int:
        """How far (a packed position) this worker's journal is sealed; 0 if it never was."""
        with _translated(self._table.table_uri):
            return self._table.transaction_version(worker) or 0

    def scan(self) -> pl.LazyFrame:
        """All rows, lazily. Collect it at once: files replaced by a compaction are removed after `KEEP_HOURS`."""
        with _translated(self._table.table_uri):
            rows = pl.scan_delta(self._table)
            there = rows.collect_schema()
        filled = {
            name: pl.col(name).fill_null(value) if name in there else value for name, value in self._added.items()
        }
        return rows.with_columns(**filled) if filled else rows


class DeltaLog:
    """One table at `uri` (a folder, or `s3://…`), made on first use. Thread-safe: it holds no state.

    Args:
        uri: where it lies.
        columns: name → polars type.
        indexed: columns whose least and greatest value are kept per file, so that reads skip files.
        added: columns that tables made by an earlier release lack → what they hold in rows written then. They are
            added to the table with the first rows that have them.
    """

    def __init__(
        self, uri: str, columns: Mapping[str, Any], indexed: Sequence[str], added: Mapping[str, pl.Expr] | None = None
    ) -> None:
        self.uri = uri
        self._columns = dict(columns)
        self._indexed = ",".join(indexed)
        self._added = dict(added or {})

    def append(self, rows: pl.DataFrame, positions: Mapping[str, int]) -> None:
        """Add `rows` and note how far each worker's journal is now sealed, in one commit.

        Raises:
            Conflict: a worker is sealed up to there or further already, or another process seals it right now.
            StoreError: the table cannot be written.
        """
        table = self._open()
        marks = [Transaction(worker, position) for worker, position in positions.items()]
        with _translated(self.uri):
            for worker, position in positions.items():
                if position <= (table.transaction_version(worker) or 0):
                    raise Conflict(f"{worker} is sealed beyond {position} in {self.uri}.", "Read on from there.")
            write_deltalake(
                table,
                rows.select(*self._columns),
                mode="append",
                schema_mode="merge" if self._lacks_columns(table) else None,
                writer_properties=_WRITER,
                commit_properties=CommitProperties(app_transactions=marks),
            )

    def snapshot(self) -> Snapshot:
        """The table as of its newest commit.

        Raises:
            StoreError: the table cannot be read.
        """
        return Snapshot(self._open(), self._added)

    def sealed_position(self, worker: str) -> int:
        """How far (a packed position) this worker's journal is sealed now; 0 if it never was.

        Raises:
            StoreError: the table cannot be read.
        """
        return self.snapshot().sealed_position(worker)

    def scan(self) -> pl.LazyFrame:
        """All sealed rows, lazily, as of the newest commit.

        Raises:
            StoreError: the table cannot be read.
        """
        return self.snapshot().scan()

    def compact(self) -> bool:
        """Merge small files if there are at least `SMALL_FILES`, and remove what earlier merges replaced long ago.

        Raises:
            StoreError: the table cannot be read or written.
        """
        table = self._open()
        with _translated(self.uri):
            sizes = pl.DataFrame(table.get_add_actions(flatten=True)).get_column("size_bytes")
            if int((sizes < TARGET_FILE_BYTES // 2).sum()) < SMALL_FILES:
                return False
            table.optimize.compact(target_size=TARGET_FILE_BYTES, writer_properties=_WRITER)
            table.vacuum(retention_hours=KEEP_HOURS, enforce_retention_duration=False, dry_run=False)
        return True

    def _lacks_columns(self, table: DeltaTable) -> bool:
        there = {field.name for field in table.schema().fields}
        return not there.issuperset(self._added)

    def _open(self) -> DeltaTable:
        with _translated(self.uri):
            if DeltaTable.is_deltatable(self.uri):
                return DeltaTable(self.uri)
            fields = [Field(name, _TYPES[kind]) for name, kind in self._columns.items()]
            settings = {
                "delta.dataSkippingStatsColumns": self._indexed,
                "delta.logRetentionDuration": "interval 1 days",
                "delta.checkpointInterval": "20",  # small commits come often: opening reads all since the last one
            }
            return DeltaTable.create(self.uri, DeltaSchema(fields), mode="ignore", configuration=settings)


def collect(rows: pl.LazyFrame) -> pl.DataFrame:
    """Run a query over a table's rows.

    Raises:
        StoreError: a file of the table is missing or damaged.
    """
    try:
        return rows.collect()
    except (PolarsError, PanicException, OSError) as error:  # over some damaged Parquet files polars panics
        raise StoreError(
            f"A file of the trace table cannot be read: {error}.",
            "Check the data folder, its permissions and the disk.",
        ) from error


@contextlib.contextmanager
def _translated(uri: str) -> Generator[None, None, None]:
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(
            f"Another process wrote to {uri} at the same time: {error}.", "Only one sealer may run; try again."
        ) from error
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"The table at {uri} cannot be used: {error}.", "Check the folder, its permissions and the disk."
        ) from error
