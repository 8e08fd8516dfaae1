"""Sums over the trace table, worked out once per file: files never change. Needs polars.

What was summed up is kept in the data folder, one file per kind of sum, by the name of the data file. It is a cache:
what is missing is worked out again, and what belongs to files that are gone is dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import structlog

from freehold.domain.ids import new_id
from freehold.store.traces.delta import Snapshot, collect
from freehold.store.traces.errors import FAILURES

Summarise = Callable[[pl.LazyFrame], pl.LazyFrame]
LEAST_ROWS = 4096
"""Files with fewer rows will be merged soon, and are summed up each time."""
_FILE = "_file"
_AT_ONCE = 8
"""Files summed up by one query: bounds the memory, and keeps both cores busy."""
_log = structlog.get_logger()


def summed(
    table: Snapshot,
    folder: Path,
    name: str,
    summarise: Summarise,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> pl.DataFrame:
    """What `summarise` makes of each file's rows with since_ns ≤ at_ns < until_ns, one below the other.

    Args:
        table: of traces.
        folder: where sums are kept.
        name: of this kind of sum; another one whenever `summarise` comes to mean something else.
        summarise: groups rows; pure, and made for sums of its sums.
        since_ns: earliest, unix nanoseconds; None: from the beginning.
        until_ns: end, unix nanoseconds, not included; None: to the end.

    Raises:
        StoreError: the table cannot be read.
    """
    files = table.files()
    whole = _whole(files, since_ns, until_ns)
    uris = files.filter(whole).get_column("uri").to_list()
    parts: list[pl.DataFrame] = []
    if uris:
        parts.append(_kept_sums(table, folder / f"{name}.parquet", summarise, uris).drop(_FILE))
    rest = files.filter(~whole & _touched(files, since_ns, until_ns)).get_column("uri").to_list()
    if rest or not parts:
        rows = table.scan_files(rest) if rest else pl.LazyFrame(schema=table.scan().collect_schema())
        parts.append(collect(summarise(rows.filter(_between(since_ns, until_ns)))))
    return pl.concat(parts, how="diagonal")


def _kept_sums(table: Snapshot, path: Path, summarise: Summarise, uris: list[str]) -> pl.DataFrame:
    names = {uri: uri.rpartition("/")[2] for uri in uris}
    kept = _read(path)
    known = set(kept.get_column(_FILE).unique().to_list()) if kept is not None else set[str]()
    missing = [uri for uri in uris if names[uri] not in known]
    parts = [kept] if kept is not None else []
    for start in range(0, len(missing), _AT_ONCE):
        queries = [
            summarise(table.scan_files([uri])).with_columns(pl.lit(names[uri]).alias(_FILE))
            for uri in missing[start : start + _AT_ONCE]
        ]
        parts.append(collect(pl.concat(queries)))
    found = parts[0] if len(parts) == 1 else pl.concat(parts)
    if missing:
        # Files beyond this query's window stay; what a merge replaced goes.
        there = {uri.rpartition("/")[2] for uri in table.files().get_column("uri").to_list()}
        _write(path, found.filter(pl.col(_FILE).is_in(sorted(there))))
    return found.filter(pl.col(_FILE).is_in(sorted(names.values())))


def _read(path: Path) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path, glob=False)
    except FileNotFoundError:
        return None
    except FAILURES as error:  # a cache: it is made anew
        _log.warning("sums_unreadable", path=str(path), error=str(error))
        return None


def _write(path: Path, sums: pl.DataFrame) -> None:
    scratch = path.with_name(f"{path.stem}-{new_id('tmp')}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sums.write_parquet(scratch, compression="zstd")
        scratch.replace(path)
    except FAILURES as error:  # the answer is right without it, only slower next time
        _log.warning("sums_not_kept", path=str(path), error=str(error))
        with contextlib.suppress(OSError):
            scratch.unlink()


def _whole(files: pl.DataFrame, since_ns: int | None, until_ns: int | None) -> pl.Series:
    """Which files lie within the window, and are large enough to remember."""
    if "min.at_ns" not in files.columns:
        return pl.repeat(False, files.height, dtype=pl.Boolean, eager=True)
    inside = pl.col("num_records") >= LEAST_ROWS
    if since_ns is not None:
        inside &= pl.col("min.at_ns") >= since_ns
    if until_ns is not None:
        inside &= pl.col("max.at_ns") < until_ns
    return files.select(inside.fill_null(False)).to_series()


def _touched(files: pl.DataFrame, since_ns: int | None, until_ns: int | None) -> pl.Series:
    """Which files may hold rows of the window."""
    touched = pl.lit(True)
    if "min.at_ns" in files.columns:
        if since_ns is not None:
            touched &= (pl.col("max.at_ns") >= since_ns).fill_null(True)
        if until_ns is not None:
            touched &= (pl.col("min.at_ns") < until_ns).fill_null(True)
    return files.with_columns(touched.alias("_touched")).get_column("_touched")


def _between(since_ns: int | None, until_ns: int | None) -> pl.Expr:
    wanted = pl.lit(True)
    if since_ns is not None:
        wanted &= pl.col("at_ns") >= since_ns
    if until_ns is not None:
        wanted &= pl.col("at_ns") < until_ns
    return wanted
