"""The ownership score for pages, checked at most every few minutes: it reads and hashes all weights and datasets."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.domain.ownership import Ownership, TaskOwnership

if TYPE_CHECKING:
    from freehold.store import Store

FRESH_NS = 300 * 10**9
"""A page shows points no older than this, and says how old they are."""

_lock = threading.Lock()
_checked: dict[tuple[str, int], Ownership] = {}
"""Data folder and version of the policy → its points; of one folder only the newest."""


def checked(store: Store, settings: Settings) -> Ownership:
    """The points of all tasks, checked again where the policy changed or they are too old.

    Raises:
        StoreError: the control store cannot be read.
    """
    from freehold.release.ownership import ownership

    key = (str(store.data), store.control.policy_version())
    with _lock:  # two pages at once need not hash the same files twice
        found = _checked.get(key)
        if found is None or time.time_ns() - found.checked_ns > FRESH_NS or not _same_tasks(store, found):
            found = ownership(store, settings)
            for other in [one for one in _checked if one[0] == key[0]]:
                del _checked[other]
            _checked[key] = found
    return found


def of_task(found: Ownership, task_id: str) -> TaskOwnership | None:
    """The points of one task."""
    return next((task for task in found.tasks if task.task == task_id), None)


def _same_tasks(store: Store, found: Ownership) -> bool:
    return {task.task_id for task in store.control.tasks.list()} == {task.task for task in found.tasks}
