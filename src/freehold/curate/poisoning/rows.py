"""A task's candidate rows as they are before any step, for looking through."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from freehold.curate.answers import answer_rights
from freehold.curate.rows import candidate_rows, read_judgements
from freehold.curate.samples import collect_samples
from freehold.domain.errors import NotFound
from freehold.store.traces.read import read_traces

if TYPE_CHECKING:
    import polars as pl

    from freehold.config import Settings
    from freehold.store import Store


def rows_of_task(store: Store, settings: Settings, task_id: str, today: datetime.date) -> pl.DataFrame:
    """All rows that might be learned from, whatever is put aside; sealed ones only.

    Raises:
        NotFound: there is no such task.
        StoreError: stored data cannot be read.
    """
    task = store.control.tasks.get(task_id)
    if task is None:
        raise NotFound(f"There is no task {task_id}.", "`freehold tasks` lists them.")
    frame = read_traces(store, task=task_id, kinds=("request", "audit"), since_ns=task.evidence_since_ns)
    frame = frame.sort("at_ns", "trace_id")
    samples, _ = collect_samples(frame, answer_rights(store, settings, task_id, today))
    return candidate_rows(samples[-settings.loop.max_samples :], frame, read_judgements(store, frame))
