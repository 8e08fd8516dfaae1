"""Keep what an evaluation found, and find the newest again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from freehold import __version__
from freehold.domain.evaluations import Compared, Evaluation, Example, HarnessReport, SafetyReport
from freehold.domain.ids import new_id
from freehold.store.evaluations import keep_evaluation

if TYPE_CHECKING:
    from freehold.store import Store


class Newest(NamedTuple):
    """Of one task, the newest of each kind; None where there is none."""

    comparison: Evaluation | None
    safety: Evaluation | None
    harness: tuple[Evaluation, ...]
    """Of each harness and model, newest first."""


def keep_report(
    store: Store,
    report: Compared | SafetyReport | HarnessReport,
    examples: Sequence[Example] = (),
    *,
    task: str,
    student: str,
    dataset_id: str = "",
    now_ns: int,
) -> Evaluation:
    """Store a report for good, with its examples beside it.

    Raises:
        StoreError: it cannot be stored.
    """
    evaluation = Evaluation(
        evaluation_id=new_id("eval"),
        task=task,
        student=student,
        dataset_id=dataset_id,
        report=report,
        software=f"freehold {__version__}",
        created_ns=now_ns,
    )
    return keep_evaluation(store, evaluation, examples)


def newest(store: Store, task_id: str, student: str | None = None) -> Newest:
    """The newest evaluations of a task, or of one of its students.

    Raises:
        StoreError: the control store cannot be read.
    """
    found = [
        item
        for item in store.control.evaluations.list(task_id, newest_first=True)
        if student is None or item.student == student
    ]
    harness: dict[tuple[str, str], Evaluation] = {}
    for item in found:
        if isinstance(item.report, HarnessReport):
            harness.setdefault((item.report.harness, item.report.model), item)
    return Newest(
        comparison=next((item for item in found if isinstance(item.report, Compared)), None),
        safety=next((item for item in found if isinstance(item.report, SafetyReport)), None),
        harness=tuple(harness.values()),
    )
