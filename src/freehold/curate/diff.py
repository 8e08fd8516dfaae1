"""Two datasets, row by row: what came, what went, what changed, and why where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from freehold.domain.errors import NotFound, StoreError
from freehold.domain.evidence import Dataset, Sample
from freehold.store.artifacts import LEFT_OUT, read_dataset

if TYPE_CHECKING:
    from freehold.store import Store

_COMPARED = ("part", "answer", "prompt", "answered_by", "terms", "verdict", "uniform")


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row."""

    trace_id: str
    change: Literal["added", "removed", "changed"]
    fields: tuple[str, ...] = ()
    """Which of a changed row's fields differ."""
    part: str
    """In the second dataset; of a removed row, in the first."""
    part_before: str = ""
    """Where it is another."""
    why: str = ""
    """The step and its reason, or the steps that changed it; empty where nothing was recorded."""


class DatasetDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The changes from one dataset to another, in order of the rows' time."""

    before: str
    after: str
    same: int
    """Rows that are equal in both."""
    changes: tuple[RowChange, ...]


def diff_datasets(store: Store, before: str, after: str) -> DatasetDiff:
    """What changed from the dataset `before` to the dataset `after`.

    Raises:
        NotFound: one of them is not stored.
        StoreError: one of them cannot be read, or is not what was written.
    """
    (old_rows, old_gone), (new_rows, new_gone) = (_read(store, name) for name in (before, after))
    changes: list[tuple[int, RowChange]] = []
    for name, sample in old_rows.items():
        if name not in new_rows:
            change = RowChange(trace_id=name, change="removed", part=sample.part, why=new_gone.get(name, ""))
            changes.append((sample.at_ns, change))
    for name, sample in new_rows.items():
        old = old_rows.get(name)
        if old is None:
            why = f"before: {old_gone[name]}" if name in old_gone else ""
            changes.append((sample.at_ns, RowChange(trace_id=name, change="added", part=sample.part, why=why)))
        elif fields := tuple(field for field in _COMPARED if getattr(old, field) != getattr(sample, field)):
            changes.append((sample.at_ns, _changed(old, sample, fields)))
    changes.sort(key=lambda entry: (entry[0], entry[1].trace_id))
    kept = sum(name in new_rows for name in old_rows)
    same = kept - sum(change.change == "changed" for _, change in changes)
    return DatasetDiff(before=before, after=after, same=same, changes=tuple(change for _, change in changes))


def dataset_of(store: Store, wanted: str) -> Dataset:
    """The dataset of this id, or of an id that begins so.

    Raises:
        NotFound: none, or several.
    """
    exact = store.control.datasets.get(wanted)
    found = [exact] if exact is not None else []
    if not found:
        every = store.control.datasets.list()
        found = [one for one in every if one.dataset_id.removeprefix("ds_").startswith(wanted.removeprefix("ds_"))]
    if len(found) != 1:
        told = "Several datasets begin" if found else "There is no dataset whose id begins"
        raise NotFound(f"{told} with {wanted!r}.", "`freehold dataset list` shows their ids.")
    return found[0]


def _read(store: Store, name: str) -> tuple[Mapping[str, Sample], Mapping[str, str]]:
    """The rows of a dataset, and why others were left out."""
    dataset = dataset_of(store, name)
    folder = store.data / dataset.path
    rows = {sample.trace_id: sample for sample in read_dataset(folder, dataset.sha256)}
    return rows, _left_out(folder / LEFT_OUT)


def _left_out(path: Path) -> Mapping[str, str]:
    import polars as pl
    from polars.exceptions import PolarsError

    if not path.exists():
        return {}  # it was made before reasons were kept
    try:
        return {row: f"{step}: {why}" for row, _, step, why in pl.read_parquet(path).iter_rows()}
    except (OSError, PolarsError) as error:
        raise StoreError(f"{path} cannot be read: {error}.", "Put it back from a backup, or delete it.") from error


def _changed(old: Sample, new: Sample, fields: tuple[str, ...]) -> RowChange:
    return RowChange(
        trace_id=new.trace_id,
        change="changed",
        fields=fields,
        part=new.part,
        part_before=old.part if old.part != new.part else "",
        why=new.changed or (f"before: {old.changed}" if old.changed else ""),
    )
