"""The newest rows of a table, found in the newest files: old ones are not opened. Needs polars."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from freehold.store.traces.delta import Snapshot, collect

_FIRST_FILES = 4
_ORDER = ("at_ns", "trace_id")


def newest(table: Snapshot, wanted: pl.Expr, columns: Sequence[str], limit: int) -> pl.DataFrame:
    """The `limit` newest rows for which `wanted` holds, newest first.

    First it is found out which rows those are, from small columns; then these rows are read, bodies and all.

    Args:
        table: of traces.
        wanted: a condition on stored columns.
        columns: which to return.
        limit: how many rows at most.

    Raises:
        StoreError: the table cannot be read.
    """
    uris, rows = _places(table, wanted, limit)
    if not rows.height:
        return pl.DataFrame(schema=table.scan().select(columns).collect_schema())
    ends = rows.select(first=pl.col("at_ns").min(), last=pl.col("at_ns").max()).row(0)
    there = pl.col("at_ns").is_between(*ends) & pl.col("trace_id").is_in(rows.get_column("trace_id").implode())
    names = list(dict.fromkeys((*columns, *_ORDER)))
    found = collect(table.scan_files(uris).filter(there).select(names))
    return found.sort(_ORDER, descending=True).select(columns)


def _places(table: Snapshot, wanted: pl.Expr, limit: int) -> tuple[list[str], pl.DataFrame]:
    """`at_ns` and `trace_id` of the rows, and the files that they are in."""
    files = table.files()
    last = pl.col("max.at_ns") if "max.at_ns" in files.columns else pl.lit(None, pl.Int64)
    ordered = files.select("uri", last=last).sort("last", descending=True, nulls_last=False)
    uris, ends = ordered.get_column("uri").to_list(), ordered.get_column("last").to_list()
    found = pl.DataFrame(schema={"at_ns": pl.Int64, "trace_id": pl.String})
    start, many = 0, _FIRST_FILES
    while start < len(uris):
        part = table.scan_files(uris[start : start + many]).filter(wanted).select(_ORDER).top_k(limit, by=_ORDER)
        found = pl.concat([found, collect(part)]).sort(_ORDER, descending=True).head(limit)
        start, many = start + many, 2 * many
        rest = ends[start] if start < len(ends) else None
        if found.height == limit and rest is not None and found.item(-1, "at_ns") > rest:
            break
    return uris[:start], found
