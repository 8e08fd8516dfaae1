"""Immutable things that hold forgotten rows: datasets, outcomes, evidence, examples beside evaluations; what depends on
them, and their removal.

Each is a folder with a Parquet file that names its rows by trace id.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import polars as pl
from polars.exceptions import PanicException, PolarsError

from freehold.domain.erasures import Holder
from freehold.domain.errors import StoreError
from freehold.store.artifacts import SAMPLES
from freehold.store.evaluations import EXAMPLES
from freehold.store.evidence import OUTCOMES, ROWS

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate, Student
    from freehold.store import Store

Withdraw = Callable[[str, str], None]
"""Takes a task's rung or ladder out of force: the task, and why."""
Kind = Literal["dataset", "outcomes", "evidence", "evaluation"]
_ROW_COLUMNS = ("trace_id", "row")
_FILES: dict[Kind, tuple[str, ...]] = {
    "dataset": (SAMPLES,),
    "outcomes": (ROWS, OUTCOMES),
    "evidence": (ROWS, OUTCOMES),
    "evaluation": (EXAMPLES,),
}


class _Folder(NamedTuple):
    kind: Kind
    path: Path
    name: str
    task: str
    certificates: tuple[Certificate, ...]
    students: tuple[str, ...] = ()


def find_holders(store: Store, trace_ids: Collection[str]) -> tuple[Holder, ...]:
    """Whatever holds one of these traces.

    Raises:
        StoreError: the control store or a file cannot be read.
    """
    if not trace_ids:
        return ()
    wanted = pl.Series(list(trace_ids), dtype=pl.String).implode()
    serving = _serving(store)
    found: list[Holder] = []
    for folder in _folders(store):
        # Evidence names the same rows in two files; beside a dataset lies a file that names those it left out.
        names = _FILES[folder.kind]
        files = [folder.path / name for name in names if (folder.path / name).exists()]
        rows = max((_count(file, wanted) for file in files), default=0)
        if rows:
            names = tuple(item.certificate_id for item in folder.certificates)
            found.append(
                Holder(
                    kind=folder.kind,
                    name=folder.name,
                    task=folder.task,
                    rows=rows,
                    students=folder.students,
                    certificates=names,
                    in_force=tuple(sorted({serving[name] for name in names if name in serving})),
                )
            )
    return tuple(found)


def remove_drafts(store: Store, trace_ids: Collection[str]) -> int:
    """Remove what killed jobs have left half written, if it names one of these traces or cannot be read; returns how
    many folders.

    Raises:
        StoreError: one cannot be removed.
    """
    wanted = pl.Series(list(trace_ids), dtype=pl.String).implode()
    removed = 0
    for root in (store.datasets_root, store.evidence_root, store.data / "outcomes", store.evaluations_root):
        for draft in sorted(root.glob(".*")):
            if any(_may_hold(file, wanted) for file in sorted(draft.glob("*.parquet"))):
                _remove(draft)
                removed += 1
    return removed


def _may_hold(file: Path, wanted: pl.Series) -> bool:
    try:
        return _count(file, wanted) > 0
    except StoreError:  # cut off: nobody can say
        return True


def remove_holder(store: Store, holder: Holder, withdraw: Withdraw) -> Holder:
    """Remove its files, and those of the students and routers that were made of it; their tasks go back first.

    Raises:
        StoreError: something cannot be removed.
        Conflict: somebody else published a policy meanwhile.
    """
    current = store.control.current_policy().tasks
    for task in holder.in_force:
        if task in current and (current[task].rungs or current[task].ladder):
            withdraw(task, f"{holder.name}, which its certificate rests on, held rows that had to be forgotten.")
    for certificate in filter(None, map(store.control.certificates.get, holder.certificates)):
        for rung in certificate.rungs:
            if rung.routed:
                _remove(store.data / rung.signal_path)
    for student in filter(None, map(store.control.students.get, holder.students)):
        _remove(store.data / student.path)
    for folder in _folders(store):
        if (folder.kind, folder.name) == (holder.kind, holder.name):
            _remove(folder.path)
    return msgspec.structs.replace(holder, removed=True)


def _folders(store: Store) -> Iterator[_Folder]:
    certificates = store.control.certificates.list()
    students = store.control.students.list()
    for dataset in store.control.datasets.list():
        made = _made_of(dataset.dataset_id, students)
        on = tuple(
            item
            for item in certificates
            if item.dataset_id == dataset.dataset_id or any(rung.name in made for rung in item.rungs)
        )
        yield _Folder("dataset", store.data / dataset.path, dataset.dataset_id, dataset.task, on, made)
    for path in sorted(store.evidence_root.glob("*")):
        relative = str(path.relative_to(store.data))
        on = tuple(item for item in certificates if item.evidence_path == relative)
        yield _Folder("evidence", path, relative, on[0].task if on else "", on)
    for path in sorted((store.data / "outcomes").glob("*")):
        yield _Folder("outcomes", path, str(path.relative_to(store.data)), "", ())
    for evaluation in store.control.evaluations.list():
        if evaluation.path:
            yield _Folder("evaluation", store.data / evaluation.path, evaluation.evaluation_id, evaluation.task, ())


def _made_of(dataset_id: str, students: Sequence[Student]) -> tuple[str, ...]:
    """Students that were trained on a dataset, and those that were trained on from one of them."""
    found = [item.student_id for item in students if item.dataset_id == dataset_id]
    for parent in found:  # it grows while it is gone through
        found += [item.student_id for item in students if item.parent == parent and item.student_id not in found]
    return tuple(found)


def _serving(store: Store) -> dict[str, str]:
    """Certificate in force → its task."""
    found: dict[str, str] = {}
    for task, entry in store.control.current_policy().tasks.items():
        found |= {rung.certificate: task for rung in entry.rungs}
        if entry.ladder is not None:
            found[entry.ladder.certificate] = task
    return found


def _count(file: Path, wanted: pl.Series) -> int:
    """Rows of a Parquet file that are of one of the `wanted` traces; 0 if it names no traces."""
    try:
        rows = pl.scan_parquet(file)
        names = rows.collect_schema().names()
        column = next((name for name in _ROW_COLUMNS if name in names), None)
        if column is None:
            return 0
        return rows.filter(pl.col(column).is_in(wanted)).select(pl.len()).collect().item()
    except (PolarsError, PanicException, OSError) as error:
        raise StoreError(
            f"{file} cannot be searched for what is to be forgotten: {error}.",
            "Put it back from a backup or remove it, then run the same command again.",
        ) from error


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            f"{path} cannot be removed: {error.strerror}.", "Check the folder, then run it again."
        ) from error
