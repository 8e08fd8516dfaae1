"""Do a part of a student's training again from its checkpoint, which lies between its two stages.

The student's tensors hold what the first stage handed to the second: `checkpoint_shapes` (rows, H, 14) and
`checkpoint_right` (rows, H). So the second stage can be fitted again without the rows, and any one fold of the first
from the rows without the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError
from freehold.domain.evidence import Dataset, Sample
from freehold.train.classifier import FOLDS, Crossed, fit_fold, second_stage
from freehold.train.students import fit_rows

Tensors = Mapping[str, npt.NDArray[Any]]
SHAPES, RIGHT = "checkpoint_shapes", "checkpoint_right"


def has_checkpoint(tensors: Tensors) -> bool:
    """Whether a student was trained by a version that keeps one."""
    return SHAPES in tensors and RIGHT in tensors


def replay_second_stage(tensors: Tensors) -> list[str]:
    """Fit the second stage from the checkpoint; the names of the tensors that come out other than they are stored.

    Raises:
        StudentError: there is no checkpoint, or it does not fit the student.
    """
    crossed = _checkpoint(tensors)
    try:
        second, signals = second_stage(crossed)
    except ValueError as error:
        raise StudentError(f"The student's checkpoint cannot be fitted on: {error}.", _RETRAIN) from error
    again: dict[str, npt.NDArray[Any]] = {
        "second": second,
        "fit_signals": signals,
        "fit_wrong": np.logical_not(crossed.right.all(axis=1)),
    }
    return [name for name, tensor in again.items() if not _same(tensor, tensors.get(name))]


def replay_fold(tensors: Tensors, dataset: Dataset, samples: Sequence[Sample], seed: int, number: int) -> list[str]:
    """Count the dataset's rows and fit one fold's models from them; the names of the tensors that come out otherwise.

    Raises:
        StudentError: there is no checkpoint, or it does not fit the student.
        EvidenceError: the rows hold nothing to fit.
    """
    if not 0 <= number < FOLDS:
        raise StudentError(f"There is no fold {number}: there are {FOLDS}.", "Give one from 0 on.")
    crossed = _checkpoint(tensors)
    rows, answers = fit_rows(dataset, samples)
    if len(crossed.shapes) != len(rows):
        return [SHAPES, RIGHT]
    again = fit_fold([row.prompt for row in rows], answers, seed, number)
    pairs = {name: (tensor, tensors.get(name)) for name, tensor in again.before.items()}
    pairs["fit_novelty"] = again.novelty, tensors.get("fit_novelty")
    pairs[SHAPES] = again.crossed.shapes, crossed.shapes[again.places]
    pairs[RIGHT] = again.crossed.right, crossed.right[again.places]
    return [name for name, (now, stored) in pairs.items() if not _same(now, stored)]


_RETRAIN = "Train the task again: students have a checkpoint now."


def _checkpoint(tensors: Tensors) -> Crossed:
    if not has_checkpoint(tensors):
        raise StudentError("The student has no checkpoint: it was trained by an earlier release.", _RETRAIN)
    shapes, right = tensors[SHAPES], tensors[RIGHT]
    if shapes.ndim != 3 or not len(shapes) or right.shape != shapes.shape[:2] or right.dtype != np.bool_:
        raise StudentError(f"The student's checkpoint is of shapes {shapes.shape} and {right.shape}.", _RETRAIN)
    return Crossed(shapes, right)


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any] | None) -> bool:
    """Whether two arrays are the same to the last bit."""
    return (
        other is not None and one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )
