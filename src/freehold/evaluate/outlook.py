"""Before the certify part is looked at: which thresholds to test, and what the test will probably say.

What is expected of a row is the mean of the loss of its cross-fitted answer and of what the signal says, which is how
probable a wrong answer is, times how wrong wrong ones are: counted errors alone flatter the threshold chosen for
having few of them. Thresholds are chosen as shares of the fit rows, and placed where the student itself accepts such
shares of the tune rows, which it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import NotFound
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.tasks import Task
from freehold.evaluate.floor import Floor, self_disagreement
from freehold.evaluate.losses import loss_of
from freehold.stats import needed_samples, predicted_outcome, spent_delta, threshold_grid
from freehold.store.artifacts import read_dataset, read_student

if TYPE_CHECKING:
    from freehold.store import Store

NOVELTY_KEPT = 0.995
"""Share of the fit texts that are not novel: the rest is what the gate costs."""
NEVER = -1.0
"""The signal given to what the novelty gate turns away: below every threshold."""
MIN_TUNE_ROWS = 20
"""Fewer rows cannot place a threshold."""
MIN_CHANCE = 0.5
"""The laxest threshold that will pass at least this probably is the one predicted."""


class Outlook(msgspec.Struct, frozen=True):
    """What is expected of a student, from cross-fitted answers to fit rows and its own answers to tune rows."""

    student: str
    task: str
    epsilon: float
    attempt: int
    delta_spent: float
    rows: int
    """Fit rows it rests on: uniform draws from the task's traffic."""
    certify_rows: int
    agreement: float
    """With the incumbent, over all rows."""
    novelty_limit: float
    novelty_share: float
    """Share of requests that the novelty gate sends to the incumbent."""
    thresholds: tuple[float, ...]
    coverage: float
    """Predicted share of requests the student will answer."""
    loss: float
    """Predicted loss among those."""
    chance: float
    """Probability that anything is certified at all."""
    needed: int | None
    """Certify rows still wanted for a good chance at the first threshold; None: no number will do."""
    floor: float | None
    """The incumbent's disagreement with itself."""
    floor_pairs: int
    above_floor: bool
    """False: ε is below what the incumbent achieves against itself, so that there is no point in trying."""


def outlook(store: Store, student_id: str) -> Outlook:
    """Predict what certifying the student would give. Spends nothing: the certify part is only counted.

    Raises:
        NotFound: no such student, or its dataset or task is gone.
        StudentError, StoreError: its files are missing or changed.
    """
    student, dataset, task = evidence_of(store, student_id)
    _, tensors = read_student(store.data / student.path, student.sha256)
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    unseen = _unseen(student, tensors, samples, task)
    novelty, wrong = unseen.novelty, unseen.wrong
    limit = float(np.quantile(unseen.usual, NOVELTY_KEPT)) if len(unseen.usual) else 0.0
    signals = np.where(novelty <= limit, unseen.signals, NEVER)
    tune = np.where(tensors["tune_novelty"] <= limit, tensors["tune_signals"].astype(float), NEVER)
    certify_rows = sum(sample.part == "certify" and sample.uniform for sample in samples)
    delta = spent_delta(task.delta, task.attempts + 1)
    floor = self_disagreement(store, task.task_id, task.evidence_since_ns)
    expected = (wrong + _severity(wrong) * (1.0 - np.clip(signals, 0.0, 1.0))) / 2
    grid = _grid(signals, expected, task.epsilon, certify_rows)
    chances = [_chance(signals, expected, threshold, certify_rows, task.epsilon, delta) for threshold in grid]
    passing = [threshold for threshold, chance in zip(grid, chances, strict=True) if chance >= MIN_CHANCE]
    accepted = signals >= (passing[-1] if passing else grid[0] if grid else np.inf)
    coverage, loss = float(accepted.mean()), float(wrong[accepted].mean()) if accepted.any() else 0.0
    return Outlook(
        student=student_id,
        task=task.task_id,
        epsilon=task.epsilon,
        attempt=task.attempts + 1,
        delta_spent=delta,
        rows=len(signals),
        certify_rows=certify_rows,
        agreement=1.0 - float(wrong.mean()) if len(wrong) else 0.0,
        novelty_limit=limit,
        novelty_share=float((novelty > limit).mean()) if len(novelty) else 0.0,
        thresholds=_served(grid, signals, tune),
        coverage=coverage,
        loss=loss,
        chance=max(chances[:1], default=0.0) if len(tune) >= MIN_TUNE_ROWS else 0.0,
        needed=_needed(signals, expected, task.epsilon, delta, certify_rows),
        **_floor(floor, task),
    )


def _severity(wrong: npt.NDArray[np.float64]) -> float:
    """The mean loss of a wrong answer: 1 where all are as wrong; a form with one wrong field of six is less. As if one
    answer more were wholly wrong, so that few do not flatter."""
    return float((wrong.sum() + 1.0) / (np.count_nonzero(wrong) + 1.0))


class _Unseen(NamedTuple):
    """What a student says of rows that it was not fitted on, (n,) each."""

    signals: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.float64]
    """Their losses, in [0, 1]."""
    novelty: npt.NDArray[np.float64]
    usual: npt.NDArray[np.float64]
    """Novelty of the traffic, which the limit is set by."""


def _unseen(
    student: Student, tensors: Mapping[str, npt.NDArray[Any]], samples: Sequence[Sample], task: Task
) -> _Unseen:
    """Cross-fitted answers to fit rows; a generative student is fitted once, so its answers to tune rows."""
    if student.kind == "classifier":
        uniform = tensors["fit_uniform"].astype(bool)
        signals, wrong, novelty = (
            tensors[name][uniform].astype(float) for name in ("fit_signals", "fit_wrong", "fit_novelty")
        )
        return _Unseen(signals, wrong, novelty, novelty)
    tuned = [sample for sample in samples if sample.part == "tune"]
    answers = msgspec.json.decode(tensors["tune_answers"].tobytes(), type=list[str])
    kept = np.array([sample.uniform for sample in tuned], bool)
    losses = [loss_of(task.scorer, given, sample) for given, sample in zip(answers, tuned, strict=True)]
    return _Unseen(
        tensors["tune_signals"][kept].astype(float),
        np.array(losses, np.float64)[kept],
        tensors["tune_novelty"][kept].astype(float),
        tensors["fit_novelty"].astype(float),
    )


def evidence_of(store: Store, student_id: str) -> tuple[Student, Dataset, Task]:
    """A student with the dataset and task it was made for.

    Raises:
        NotFound: one of the three is not stored.
    """
    student = store.control.students.get(student_id)
    dataset = student and store.control.datasets.get(student.dataset_id)
    task = student and store.control.tasks.get(student.task)
    if student is None or dataset is None or task is None:
        raise NotFound(f"Student {student_id}, its dataset or its task is not stored.", "Run `freehold train TASK`.")
    return student, dataset, task


def _floor(floor: Floor, task: Task) -> dict[str, Any]:
    # The floor counts answers that differ; a scorer may well find them equally good.
    above = task.scorer is not None or not floor.above(task.epsilon)
    return {"floor": floor.rate, "floor_pairs": floor.pairs, "above_floor": above}


def _grid(
    signals: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], epsilon: float, certify_rows: int
) -> tuple[float, ...]:
    if not len(signals) or certify_rows < 1:
        return ()
    return tuple(
        threshold for threshold in threshold_grid(signals, expected, epsilon, certify_rows) if threshold > NEVER
    )


def _served(
    grid: tuple[float, ...], signals: npt.NDArray[np.float64], tune: npt.NDArray[np.float64]
) -> tuple[float, ...]:
    """The student's own thresholds that accept the same shares as `grid` does of the cross-fitted signals.

    A student is surer than its folds, so one threshold accepts more of it; the shares are what both have in common.
    """
    ranked = np.sort(tune)[::-1]
    wanted = (max(1, round(float((signals >= threshold).mean()) * len(tune))) for threshold in grid)
    served = dict.fromkeys(float(ranked[count - 1]) for count in wanted if len(tune))
    return tuple(threshold for threshold in served if threshold > NEVER)


def _chance(
    signals: npt.NDArray[np.float64],
    expected: npt.NDArray[np.float64],
    threshold: float,
    certify_rows: int,
    epsilon: float,
    delta: float,
) -> float:
    accepted = signals >= threshold
    return predicted_outcome(
        round(float(expected[accepted].sum())), int(accepted.sum()), len(signals), certify_rows, epsilon, delta
    )


def _needed(
    signals: npt.NDArray[np.float64],
    expected: npt.NDArray[np.float64],
    epsilon: float,
    delta: float,
    certify_rows: int,
) -> int | None:
    """Fewest further certify rows over a few coverages; the student's own learning from more rows is not counted."""
    plans: list[int] = []
    order = np.sort(signals)[::-1]
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        if not len(order):
            break
        accepted = signals >= max(order[max(0, int(share * len(order)) - 1)], NEVER + 1e-9)
        if accepted.any():
            rate = (float(expected[accepted].sum()) + 0.5) / (float(accepted.sum()) + 1.0)
            needed = needed_samples(rate, float(accepted.mean()), epsilon, delta, have=certify_rows)
            plans += [] if needed is None else [needed]
    return min(plans, default=None)
