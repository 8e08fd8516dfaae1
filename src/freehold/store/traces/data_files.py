"""The Parquet files of a Delta table: written whole and synced, with the statistics by which reads skip them.

They are written here and not by deltalake so that the same code writes what is sealed, compacted and deleted from,
and because polars does it for less (bench/record/table.py). The columns' statistics and the form of the actions are
those of the Delta protocol (github.com/delta-io/delta, PROTOCOL.md, "Per-file Statistics"). Needs polars, deltalake.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from deltalake._internal import DeltaFileSystemHandler  # the public class around it needs pyarrow
from deltalake.transaction import AddAction

from freehold.domain.ids import new_id
from freehold.store.folders import sync_folder

ROW_GROUP = 1024
_LEVEL = 3
_encode = msgspec.json.Encoder().encode


class DataFiles:
    """The files below one table's `uri`, a folder or `s3://…`.

    Args:
        uri: where the table lies.
        options: of the object store, as deltalake and polars take them.
        indexed: columns whose least and greatest value are told to the table.
    """

    def __init__(self, uri: str, options: Mapping[str, str], indexed: Sequence[str]) -> None:
        self._uri = uri
        self._options = dict(options)
        self._indexed = indexed
        self._folder = None if "://" in uri else Path(uri)

    def write(self, rows: pl.DataFrame, *, new: bool) -> AddAction:
        """Write `rows` in order as one file; it belongs to the table once the action returned is committed.

        Args:
            rows: at least one.
            new: whether the rows are new to the table, and not only rewritten.
        """
        name = f"{new_id('part')}.parquet"
        size = self._write_local(self._folder, name, rows) if self._folder is not None else self._put(name, rows)
        return AddAction(
            path=name,
            size=size,
            partition_values={},
            modification_time=time.time_ns() // 1_000_000,
            data_change=new,
            stats=_encode(statistics(rows, self._indexed)).decode(),
        )

    def read(self, path: str) -> pl.DataFrame:
        """All rows and columns of the file that the table knows as `path`."""
        if self._folder is not None:
            return pl.read_parquet(self._folder / path, glob=False, hive_partitioning=False)
        return pl.read_parquet(
            f"{self._uri}/{path}", glob=False, hive_partitioning=False, storage_options=self._options
        )

    def sync_log(self, version: int) -> None:
        """Make a commit outlive a power cut: what it seals is removed from the journals. S3 does so by itself."""
        if self._folder is None:
            return
        log = self._folder / "_delta_log"
        fd = os.open(log / f"{version:020}.json", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(log)

    def _write_local(self, folder: Path, name: str, rows: pl.DataFrame) -> int:
        with (folder / name).open("wb") as file:
            _write(rows, file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        sync_folder(folder)
        return size

    def _put(self, name: str, rows: pl.DataFrame) -> int:
        buffer = io.BytesIO()
        _write(rows, buffer)
        data = buffer.getvalue()
        stream = DeltaFileSystemHandler(self._uri, self._options).open_output_stream(name, None)
        stream.write(data)
        stream.close()  # pyright: ignore  # it completes the upload; deltalake's stub lacks it
        return len(data)


def statistics(rows: pl.DataFrame, indexed: Sequence[str]) -> dict[str, Any]:
    """Number of rows, and per indexed column the least and greatest value and how many are null."""
    columns = [name for name in indexed if name in rows.columns]
    ends = rows.select(
        *(pl.col(name).min().alias(f"min {name}") for name in columns),
        *(pl.col(name).max().alias(f"max {name}") for name in columns),
        *(pl.col(name).null_count().alias(f"null {name}") for name in columns),
    ).row(0, named=True)
    known = [name for name in columns if ends[f"min {name}"] is not None]
    return {
        "numRecords": rows.height,
        "minValues": {name: ends[f"min {name}"] for name in known},
        "maxValues": {name: ends[f"max {name}"] for name in known},
        "nullCount": {name: ends[f"null {name}"] for name in columns},
    }


def _write(rows: pl.DataFrame, file: Any) -> None:
    rows.write_parquet(file, compression="zstd", compression_level=_LEVEL, row_group_size=ROW_GROUP, statistics=True)
