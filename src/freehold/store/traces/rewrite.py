"""Rewrites files of a Delta table: merges small ones in order, and takes rows out. Needs polars and deltalake.

A rewrite is one commit that removes the old files and adds the new ones. deltalake takes such a commit for an append
and would not see that another process removed the same file meanwhile, so here every commit is tied to one version of
the table: it fails if anything at all was committed since, is looked at again, and is tried anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from freehold.domain.errors import Conflict
from freehold.store.traces.data_files import DataFiles

TARGET_ROWS = 65_536
"""A file is not merged further from half of it on."""
TARGET_BYTES = 256 * 1024 * 1024
"""In memory: what is merged into one file at most, so that merging stays within a fixed memory."""
_TIER = 16
"""Files are merged with those that have up to so many times as many rows: a row is rewritten once per tier, not every
time new files come."""
_TRIES = 20
REWRITTEN = "rewritten"
"""The application transaction that counts commits which took rows out or changed them."""


def files_of(table: DeltaTable) -> pl.DataFrame:
    """One row per file: `path`, `size_bytes`, `num_records`, and `min.…`, `max.…` of the indexed columns."""
    return pl.DataFrame(table.get_add_actions(flatten=True))


def tiers(files: pl.DataFrame, least: int) -> list[list[tuple[str, int]]]:
    """Small files that are worth merging, as lists of (path, bytes) in order of time: tiers of at least `least`."""
    time_order = ["min.at_ns", "path"] if "min.at_ns" in files.columns else ["path"]
    small = files.filter(pl.col("num_records") < TARGET_ROWS // 2).sort(time_order)
    found: dict[int, list[tuple[str, int]]] = {}
    for path, size, rows in small.select("path", "size_bytes", "num_records").iter_rows():
        found.setdefault(_tier(rows), []).append((path, size))
    return [found[tier] for tier in sorted(found) if len(found[tier]) >= least]


def _tier(rows: int) -> int:
    tier = 0
    while rows >= _TIER:
        rows //= _TIER
        tier += 1
    return tier


def merged(
    files: DataFiles, paths: Sequence[tuple[str, int]], sorted_by: Sequence[str]
) -> Iterator[tuple[dict[str, int], list[AddAction]]]:
    """Merge files in turn; yields what to replace by what, for one commit each.

    Columns that only some of the files have are kept, null in the rows of the others.
    """
    group: list[pl.DataFrame] = []
    names: dict[str, int] = {}
    for path, size in paths:
        rows = files.read(path)
        if group and _is_full([*group, rows]):
            yield from _merge(files, group, names, sorted_by)
            group, names = [], {}
        group.append(rows)
        names[path] = size
    yield from _merge(files, group, names, sorted_by)


def _is_full(group: Sequence[pl.DataFrame]) -> bool:
    return (
        sum(rows.height for rows in group) > TARGET_ROWS or sum(rows.estimated_size() for rows in group) > TARGET_BYTES
    )


def _merge(
    files: DataFiles, group: Sequence[pl.DataFrame], names: dict[str, int], sorted_by: Sequence[str]
) -> Iterator[tuple[dict[str, int], list[AddAction]]]:
    if len(group) < 2:
        return
    whole = pl.concat(group, how="diagonal").sort(sorted_by, maintain_order=True)
    yield names, [files.write(whole, new=False)]


def changed(
    files: DataFiles,
    paths: Sequence[tuple[str, int]],
    condition: pl.Expr,
    change: Callable[[pl.DataFrame], pl.DataFrame] | None,
    filled: Callable[[pl.DataFrame], pl.DataFrame],
) -> tuple[dict[str, int], list[AddAction], int]:
    """Rewrite files so that rows for which `condition` holds are changed, or gone if `change` is None.

    `filled` gives a file's rows the columns that it was written without. Returns what to replace by what, and how many
    rows that were. A file without such a row stays as it is.
    """
    replaced: dict[str, int] = {}
    added: list[AddAction] = []
    count = 0
    for path, size in paths:
        rows = filled(files.read(path))
        wanted = rows.select(condition.fill_null(False)).to_series()
        if not wanted.any():
            continue
        count += int(wanted.sum())
        kept = rows.filter(~wanted)
        if change is not None:
            order = rows.with_row_index("_order")
            parts = [order.filter(~wanted), change(order.filter(wanted)).select(order.columns)]
            kept = pl.concat(parts).sort("_order").drop("_order")
        replaced[path] = size
        if kept.height:
            added.append(files.write(kept, new=True))
    return replaced, added, count


def replace_files(
    open_table: Callable[[], DeltaTable], removed: Mapping[str, int], added: Sequence[AddAction], *, new: bool
) -> int:
    """Commit that `added` takes the place of `removed` (path → bytes); returns the version.

    `new`: the rows are others than before, and not only elsewhere.

    Raises:
        Conflict: one of them is gone: another process rewrote it.
    """
    now = time.time_ns() // 1_000_000
    gone = [RemoveAction(path, new, now, size, {}) for path, size in removed.items()]
    for _ in range(_TRIES):
        table = open_table()
        if not removed.keys() <= set(files_of(table).get_column("path").to_list()):
            raise Conflict(f"Another process rewrote files of {table.table_uri} at the same time.", "Try again.")
        marks = [Transaction(REWRITTEN, (table.transaction_version(REWRITTEN) or 0) + 1)] if new else None
        # No retries: deltalake's would not notice that a file is gone.
        properties = CommitProperties(max_commit_retries=0, app_transactions=marks)
        try:
            table.create_write_transaction([*added, *gone], "append", table.schema(), commit_properties=properties)
        except CommitFailedError:
            continue
        return table.version()
    raise Conflict(f"{open_table().table_uri} is written to all the time.", "Try again when there is less traffic.")
