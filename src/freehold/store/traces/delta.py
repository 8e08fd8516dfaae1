"""An append-only Delta Lake table with exactly-once appends per journal. Needs polars and deltalake.

Each append commits its rows together with the journal position they reach (a Delta application transaction named
after the worker), so either both are there or neither. Rows are only ever taken out by `DeltaLog.delete`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake import Schema as DeltaSchema
from deltalake.schema import ArrayType, Field, PrimitiveType

from freehold.domain.errors import Conflict, StoreError
from freehold.store.traces.data_files import DataFiles
from freehold.store.traces.errors import FAILURES, translated, unreadable
from freehold.store.traces.rewrite import REWRITTEN, changed, files_of, merged, replace_files, tiers

SMALL_FILES = 32
"""So many files of about one size and merging them is worth its work."""
KEEP_HOURS = 24
"""How long files that a compaction replaced stay for readers that still use them."""
_STATISTICS = "delta.dataSkippingStatsColumns"
_FILE = "__file"

View = Callable[[pl.LazyFrame], pl.LazyFrame]

_TYPES: dict[Any, Any] = {
    pl.String: PrimitiveType("string"),
    pl.Int64: PrimitiveType("long"),
    pl.Float64: PrimitiveType("double"),
    pl.Boolean: PrimitiveType("boolean"),
    pl.Binary: PrimitiveType("binary"),
    pl.List(pl.String): ArrayType(PrimitiveType("string"), contains_null=True),
}


class Snapshot:
    """A table as of one commit: its rows, and how far each journal is sealed in them."""

    def __init__(
        self, table: DeltaTable, added: Mapping[str, pl.Expr], options: Mapping[str, str], view: View | None
    ) -> None:
        self._table = table
        self._added = added
        self._options = dict(options) or None
        self._view = view

    def sealed_position(self, worker: str) -> int:
        """How far (a packed position) this worker's journal is sealed; 0 if it never was."""
        with translated(self._table.table_uri):
            return self._table.transaction_version(worker) or 0

    @property
    def rewrites(self) -> int:
        """How often rows were taken out or changed: what was read before the number grew may be gone."""
        return self.sealed_position(REWRITTEN)

    def files(self) -> pl.DataFrame:
        """One row per data file: `uri`, `num_records`, and `min.…`, `max.…` of the indexed columns, null if unknown."""
        with translated(self._table.table_uri):
            found = files_of(self._table)
            root = self._table.table_uri.removeprefix("file://").rstrip("/")
            return found.with_columns(uri=pl.format("{}/{}", pl.lit(root), "path"))

    def scan(self) -> pl.LazyFrame:
        """All rows, lazily. Collect it at once: files replaced by a compaction are removed after `KEEP_HOURS`."""
        return self._seen(self.stored())

    def stored(self) -> pl.LazyFrame:
        """All rows as they lie in the files, lazily, with columns that readers do not see."""
        with translated(self._table.table_uri):
            return self._filled(pl.scan_delta(self._table))

    def read_where(self, predicate: str, columns: Sequence[str]) -> pl.DataFrame:
        """The rows for which an SQL predicate holds, in any order; without polars' engine, and so also from within it.

        Raises:
            StoreError: the table cannot be read.
        """
        with translated(self._table.table_uri):
            return pl.DataFrame(self._table.scan(columns=list(columns), predicate=predicate))

    def scan_files(self, uris: Sequence[str], *, name_as: str | None = None) -> pl.LazyFrame:
        """The rows of these of `files()`, in order, lazily; `name_as`: with their file's `uri` as a column so named."""
        with translated(self._table.table_uri):
            schema = pl.scan_delta(self._table).collect_schema()
        rows = pl.scan_parquet(
            list(uris),
            schema=schema,
            glob=False,
            hive_partitioning=False,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=self._options,
            include_file_paths=name_as,
        )
        return self._seen(self._filled(rows))

    def filled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of one file, with what the columns hold that it was written without."""
        with translated(self._table.table_uri):
            schema = pl.scan_delta(self._table).collect_schema()
        missing = {name: pl.lit(None, kind) for name, kind in schema.items() if name not in rows.columns}
        return self._filled(rows.with_columns(**missing).lazy()).collect()

    def _seen(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return self._view(rows) if self._view is not None else rows

    def _filled(self, rows: pl.LazyFrame) -> pl.LazyFrame:
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
        sorted_by: the order of the rows within each file.
        options: of the object store, as deltalake and polars take them.
        version: of the columns, as `schema_version` of each row says it; 0: rows say none.
        view: makes what readers see from what is stored.
    """

    def __init__(
        self,
        uri: str,
        columns: Mapping[str, Any],
        indexed: Sequence[str],
        added: Mapping[str, pl.Expr] | None = None,
        *,
        sorted_by: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        version: int = 0,
        view: View | None = None,
    ) -> None:
        self.uri = uri
        self._columns = dict(columns)
        self._indexed = tuple(indexed)
        self._added = dict(added or {})
        self._sorted_by = tuple(sorted_by)
        self._options = dict(options or {})
        self._version = version
        self._view = view
        self._files = DataFiles(uri, self._options, self._indexed)

    def append(self, rows: pl.DataFrame, positions: Mapping[str, int]) -> None:
        """Add `rows`, in order, and note how far each worker's journal is now sealed, in one commit.

        Raises:
            Conflict: a worker is sealed up to there or further already, or another process seals it right now.
            StoreError: the table cannot be written, or a newer release wrote it.
        """
        table = self._open()
        marks = [Transaction(worker, position) for worker, position in positions.items()]
        with translated(self.uri):
            for worker, position in positions.items():
                if position <= (table.transaction_version(worker) or 0):
                    raise Conflict(f"{worker} is sealed beyond {position} in {self.uri}.", "Read on from there.")
            self._refuse_newer(table)
            self._evolve(table)
            added = [self._files.write(rows.select(*self._columns), new=True)] if rows.height else []
            table.create_write_transaction(
                list(added), "append", table.schema(), commit_properties=CommitProperties(app_transactions=marks)
            )
            self._files.sync_log(table.version())

    def snapshot(self) -> Snapshot:
        """The table as of its newest commit.

        Raises:
            StoreError: the table cannot be read.
        """
        return Snapshot(self._open(), self._added, self._options, self._view)

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
        """Merge small files where there are at least `SMALL_FILES` of about one size, each merged file sorted anew,
        and remove what earlier merges replaced long ago. Memory is bounded (`rewrite.TARGET_BYTES`).

        Raises:
            Conflict: another process rewrote the same files.
            StoreError: the table cannot be read or written, or a newer release wrote it.
        """
        table = self._open()
        with translated(self.uri):
            found = tiers(files_of(table), SMALL_FILES)
            if not found:
                return False
            self._refuse_newer(table)
            for paths in found:
                for removed, added in merged(self._files, paths, self._sorted_by):
                    replace_files(self._open, removed, added, new=False)
            # Full: also files that a sealer wrote and, being killed, never committed.
            self._open().vacuum(retention_hours=KEEP_HOURS, enforce_retention_duration=False, dry_run=False, full=True)
        return True

    def delete(self, condition: pl.Expr) -> int:
        """Take out the rows for which `condition` holds, in one commit; returns how many. Their bytes stay on disk
        until `purge`. Nothing of the condition is written anywhere. What is appended meanwhile is not looked at: hold
        the sealer's lock.

        Raises:
            Conflict: another process rewrote the same files.
            StoreError: the table cannot be read or written, or a newer release wrote it.
        """
        return self._rewrite(condition, None)

    def change(self, condition: pl.Expr, change: Callable[[pl.DataFrame], pl.DataFrame]) -> int:
        """Replace the rows for which `condition` holds by what `change` makes of them, in one commit, as `delete`.

        Args:
            condition: which rows.
            change: gets such rows, with every column there is, and returns as many in the same order.
        """
        return self._rewrite(condition, change)

    def purge(self) -> int:
        """Remove the files of rows that were deleted, changed or merged, at once; returns how many. Readers that are
        at work on them fail. Files of an append under way stay.

        Raises:
            StoreError: the table cannot be read or written.
        """
        with translated(self.uri):
            return len(self._open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False))

    def _rewrite(self, condition: pl.Expr, change: Callable[[pl.DataFrame], pl.DataFrame] | None) -> int:
        table = self._open()
        with translated(self.uri):
            self._refuse_newer(table)
            snapshot = Snapshot(table, self._added, self._options, self._view)
            paths = self._holding(snapshot, condition)
            removed, added, count = changed(self._files, paths, condition, change, snapshot.filled)
            if removed:
                self._files.sync_log(replace_files(self._open, removed, added, new=True))
        return count

    def _holding(self, snapshot: Snapshot, condition: pl.Expr) -> list[tuple[str, int]]:
        """The files with such a row, found without reading columns that the condition does not name."""
        files = snapshot.files()
        if not files.height:
            return []
        rows = snapshot.scan_files(files.get_column("uri").to_list(), name_as=_FILE)
        uris = rows.filter(condition).select(pl.col(_FILE).unique()).collect().get_column(_FILE)
        return files.filter(pl.col("uri").is_in(uris.implode())).select("path", "size_bytes").rows()

    def _evolve(self, table: DeltaTable) -> None:
        """Give a table made by an earlier release the columns it lacks, and statistics on those that have some now."""
        there = {field.name for field in table.schema().fields}
        missing = [Field(name, _TYPES[kind]) for name, kind in self._columns.items() if name not in there]
        if missing:
            table.alter.add_columns(missing)
        wanted = ",".join(self._indexed)
        if table.metadata().configuration.get(_STATISTICS) != wanted:
            table.alter.set_table_properties({_STATISTICS: wanted})

    def _refuse_newer(self, table: DeltaTable) -> None:
        if not self._version:
            return
        files = files_of(table)
        newest = files.get_column("max.schema_version").max() if "max.schema_version" in files.columns else None
        if isinstance(newest, int) and newest > self._version:
            raise StoreError(
                f"A newer release of Freehold wrote to the table at {self.uri}: its rows have version {newest}, and"
                f" this release knows {self._version}. It can be read, not written.",
                "Install that release again, or give this one a data folder of its own.",
            )

    def _open(self) -> DeltaTable:
        with translated(self.uri):
            options = self._options or None
            if DeltaTable.is_deltatable(self.uri, options):
                return DeltaTable(self.uri, storage_options=options)
            fields = [Field(name, _TYPES[kind]) for name, kind in self._columns.items()]
            settings = {
                _STATISTICS: ",".join(self._indexed),
                "delta.logRetentionDuration": "interval 1 days",
                "delta.checkpointInterval": "20",  # small commits come often: opening reads all since the last one
            }
            schema = DeltaSchema(fields)
            return DeltaTable.create(self.uri, schema, mode="ignore", configuration=settings, storage_options=options)


def collect(rows: pl.LazyFrame) -> pl.DataFrame:
    """Run a query over a table's rows.

    Raises:
        StoreError: a file of the table is missing or damaged.
    """
    try:
        return rows.collect()
    except FAILURES as error:
        raise unreadable(error) from error
