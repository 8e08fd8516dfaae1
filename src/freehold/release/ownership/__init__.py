"""How much is the organisation's own, point by point, for what answers each task now.

Public names: `ownership`, `DRILL_DAYS`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.domain.ownership import Ownership, TaskOwnership
from freehold.release.ownership.case import Case, case_of
from freehold.release.ownership.points import DRILL_DAYS, points

if TYPE_CHECKING:
    from freehold.domain.drills import Drill
    from freehold.store import Store

__all__ = ["DRILL_DAYS", "ownership"]


def ownership(store: Store, settings: Settings, task_id: str = "", now_ns: int = 0) -> Ownership:
    """The points of one task, or of all tasks.

    Args:
        store: where tasks, students, datasets and drills are.
        settings: whose upstreams answer, and the organisation's facts.
        task_id: the only task to look at; empty: all.
        now_ns: the time to judge for, unix nanoseconds; 0: now.

    Raises:
        StoreError: the control store cannot be read.
    """
    now = now_ns or time.time_ns()
    policies = store.control.current_policy().tasks
    drills = store.control.drills.list(newest_first=True)
    found = [
        _of_task(case_of(store, settings, task, policies.get(task.task_id), now), drills)
        for task in store.control.tasks.list()
        if task_id in ("", task.task_id)
    ]
    return Ownership(tasks=tuple(found), checked_ns=now)


def _of_task(case: Case, drills: list[Drill]) -> TaskOwnership:
    return TaskOwnership(
        task=case.task.task_id,
        name=case.task.name,
        answered_by=tuple(model.name for model in case.models),
        points=points(case, drills),
    )
