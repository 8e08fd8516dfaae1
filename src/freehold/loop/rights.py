"""What rights say today of all that serves, and of all that waits to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.loop.steps import result_of, waiting_jobs
from freehold.promote import ServingRights, certified_rights, rights_in_force

if TYPE_CHECKING:
    from freehold.store import Store


def rights_at_work(store: Store, settings: Settings, task_id: str | None = None) -> list[ServingRights]:
    """Of each asset that answers requests (of a task) in the incumbent's place, then of those whose promotion waits.

    Raises:
        StoreError: the control store cannot be read.
    """
    found = [rights for rights in rights_in_force(store, settings) if task_id in (None, rights.task)]
    for job in waiting_jobs(store, task_id):
        attempt = result_of(job, "certify")
        if attempt is not None:
            found += certified_rights(store, settings, attempt["certificate"])
    return found
