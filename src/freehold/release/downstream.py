"""What rests on rows that are recalled: datasets, students, certificates, policies, releases. Reads, changes nothing.

A dataset that holds such a row is concerned; so is every student that was trained on it, every dataset that holds an
answer of such a student, and so on, until nothing new is found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from freehold.domain.errors import StoreError
from freehold.domain.evidence import Certificate, Dataset, Student
from freehold.domain.policy import TaskPolicy
from freehold.domain.recalls import Recall
from freehold.domain.rights import Asset
from freehold.release.lineage import student_asset
from freehold.store.artifacts import SAMPLES

if TYPE_CHECKING:
    from freehold.store import Store

_COLUMNS = ("trace_id", "at_ns", "answered_by", "terms")
_STUDENT = "student/"


class Downstream(NamedTuple):
    """What was found, each sorted."""

    datasets: tuple[str, ...]
    students: tuple[str, ...]
    certificates: tuple[str, ...]
    policies: tuple[int, ...]
    """Versions of the policy in which any of these students or certificates served."""
    releases: tuple[str, ...]
    serving: tuple[str, ...]
    """Tasks that any of them serves now."""
    unread: tuple[str, ...]
    """Datasets whose rows are gone, so that nobody can say what they held."""


def find_downstream(store: Store, recall: Recall, trace_ids: Collection[str]) -> Downstream:
    """All that rests on the rows `trace_ids`, on others like them that only datasets still hold, or on a model under
    the licence that is recalled.

    Raises:
        StoreError: the control store or a dataset cannot be read.
    """
    search = _Search(store, recall, trace_ids)
    while search.goes_on():
        pass
    certificates = {found.certificate_id for found in store.control.certificates.list() if search.is_on(found)}
    current = store.control.current_policy()
    return Downstream(
        datasets=tuple(sorted(search.datasets)),
        students=tuple(sorted(search.students)),
        certificates=tuple(sorted(certificates)),
        policies=tuple(
            version
            for version in range(1, current.version + 1)
            if any(
                _serves(entry, search.students, certificates) for entry in store.control.policy(version).tasks.values()
            )
        ),
        releases=tuple(
            sorted(found.release_id for found in store.control.releases.list() if found.student in search.students)
        ),
        serving=tuple(
            sorted(task for task, entry in current.tasks.items() if _serves(entry, search.students, certificates))
        ),
        unread=tuple(search.unread),
    )


class _Search:
    """Goes through datasets and students again and again, until a round finds nothing new."""

    def __init__(self, store: Store, recall: Recall, trace_ids: Collection[str]) -> None:
        self._store = store
        self._recall = recall
        self._students = store.control.students.list()
        self._rows: list[tuple[Dataset, pl.DataFrame]] = []
        self.datasets: set[str] = set()
        self.students: set[str] = set()
        self.unread: list[str] = []
        wanted = pl.Series(list(trace_ids), dtype=pl.String).implode()
        for dataset in store.control.datasets.list():
            rows = _rows_of(store, dataset)
            if rows is None:
                self._judge_unread(dataset)
            elif rows.filter(pl.col("trace_id").is_in(wanted) | self._like_them()).height:
                self.datasets.add(dataset.dataset_id)
            else:
                self._rows.append((dataset, rows))

    def goes_on(self) -> bool:
        """Do a round; whether it found anything."""
        before = len(self.datasets) + len(self.students)
        self.students |= {student.student_id for student in self._students if self._is_concerned(student)}
        taught = pl.col("answered_by").is_in([f"{_STUDENT}{name}" for name in self.students])
        self.datasets |= {dataset.dataset_id for dataset, rows in self._rows if rows.filter(taught).height}
        return len(self.datasets) + len(self.students) > before

    def is_on(self, certificate: Certificate) -> bool:
        """Whether a certificate is for one of these students, rests on one of these datasets, or is for a ladder whose
        router was fitted to the answers of a model that is recalled."""
        if certificate.dataset_id in self.datasets:
            return True
        late = certificate.issued_ns >= self._recall.since_ns
        return any(
            rung.name in self.students
            if rung.kind == "student"
            else late and rung.name.partition("/")[0] in self._recall.upstreams
            for rung in certificate.rungs
        )

    def _like_them(self) -> pl.Expr:
        """Rows that are concerned by what is noted in the dataset itself: their traces may be gone by now."""
        recall = self._recall
        late = pl.col("at_ns") >= recall.since_ns
        if recall.until_ns:
            late &= pl.col("at_ns") <= recall.until_ns
        match recall.kind:
            case "provider":
                return late & pl.col("answered_by").str.split("/").list.first().is_in(list(recall.upstreams))
            case "licence":
                return late & (pl.col("terms") == recall.value)
            case _:
                return pl.lit(False)

    def _judge_unread(self, dataset: Dataset) -> None:
        """Of a dataset whose rows are gone only the terms are known."""
        terms = {verdict.subject for verdict in dataset.verdicts if verdict.permits}
        if self._recall.kind == "licence" and self._recall.value in terms:
            self.datasets.add(dataset.dataset_id)
        else:
            self.unread.append(dataset.dataset_id)

    def _is_concerned(self, student: Student) -> bool:
        if student.dataset_id in self.datasets or student.parent in self.students:
            return True
        recall = self._recall
        for role, asset in _ancestors(student_asset(self._store, student)):
            if asset.asset_id in self.students:
                return True
            if role == "base" and recall.kind == "licence" and asset.licence == recall.value:
                return True
        return False


def _ancestors(asset: Asset) -> Iterator[tuple[str, Asset]]:
    for parent in asset.parents:
        yield parent.role, parent.asset
        yield from _ancestors(parent.asset)


def _rows_of(store: Store, dataset: Dataset) -> pl.DataFrame | None:
    """The rows' `_COLUMNS`; None where the file is gone. Datasets that are older than a column have none of it."""
    path = store.data / dataset.path / SAMPLES
    if not path.exists():
        return None
    try:
        names = pl.scan_parquet(path).collect_schema().names()
        rows = pl.read_parquet(path, columns=[name for name in _COLUMNS if name in names])
    except (OSError, PolarsError) as error:
        raise StoreError(
            f"The dataset {path} cannot be read: {error}.", "Put it back from a backup, then run the recall again."
        ) from error
    return rows.with_columns(pl.lit("").alias(name) for name in _COLUMNS if name not in names)


def _serves(entry: TaskPolicy, students: Collection[str], certificates: Collection[str]) -> bool:
    certified = [rung.certificate for rung in entry.rungs] + ([entry.ladder.certificate] if entry.ladder else [])
    return any(name in certificates for name in certified) or any(name in students for name in entry.students)
