"""What of this installation a change of licences or terms concerns."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from freehold.config import Settings
from freehold.release.lineage import dataset_asset, licences_of, student_asset, upstream_asset

if TYPE_CHECKING:
    from freehold.store import Store


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """Ids, oldest first; upstreams and tasks by name."""

    upstreams: tuple[str, ...] = ()
    """Whose answers come under one of the licences or terms."""
    datasets: tuple[str, ...] = ()
    """With answers got under them."""
    students: tuple[str, ...] = ()
    """Made of, or trained on, what comes under them."""
    tasks: tuple[str, ...] = ()
    """That these are of."""
    in_force: tuple[str, ...] = ()
    """Of these tasks: those that such a student answers now."""
    releases: tuple[str, ...] = ()
    """Of these students."""

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))


def affected(store: Store, settings: Settings, licences: Collection[str]) -> Affected:
    """All assets with one of the licences anywhere in their lineage.

    Raises:
        StoreError: the control store cannot be read.
    """
    control, concerned = store.control, frozenset(licences)
    datasets = [one for one in control.datasets.list() if concerned & licences_of(dataset_asset(one))]
    students = [one for one in control.students.list() if concerned & licences_of(student_asset(store, one))]
    names = {student.student_id for student in students}
    tasks = {one.task for one in (*datasets, *students)}
    policy = control.current_policy()
    serving = {task for task, entry in policy.tasks.items() if names.intersection(entry.students)}
    found = [task for task in control.tasks.list() if task.task_id in tasks | serving]
    return Affected(
        upstreams=tuple(
            name for name, one in settings.upstreams.items() if concerned & licences_of(upstream_asset(name, one))
        ),
        datasets=tuple(dataset.dataset_id for dataset in datasets),
        students=tuple(student.student_id for student in students),
        tasks=tuple(task.name for task in found),
        in_force=tuple(task.name for task in found if task.task_id in serving),
        releases=tuple(one.release_id for one in control.releases.list() if one.student in names),
    )
