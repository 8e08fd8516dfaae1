"""Train a task's student on a dataset and store it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import ConfigError, EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.machines import TrainingRun
from freehold.runners.machine import RunRecorder
from freehold.store.artifacts import read_dataset, write_student
from freehold.store.recalls import check_not_recalled
from freehold.train.classifier import field_values, fit_classifier
from freehold.train.counts import token_rates
from freehold.train.progress import Progress, ignore
from freehold.train.style import learn_style
from freehold.upstreams.student.classifier import Classifier, Manifest

if TYPE_CHECKING:
    from freehold.store import Store

_RECIPE = 2
"""Raised when the same rows and seed come to give other files."""


def train_student(
    store: Store, settings: Settings, dataset_id: str, now_ns: int, watch: Callable[[Progress], None] = ignore
) -> Student:
    """Fit on the dataset's fit part and score its tune part; certify rows are never used here.

    The same dataset and seed give the same student. Which kind it is follows from the task's answers, its scorer and
    the settings; `watch` is told how far a generative one is.

    Raises:
        NotFound: no such dataset.
        RightsError: a verdict on the dataset does not permit training, or it was recalled.
        EvidenceError: there is nothing to fit.
        StoreError: the dataset's file is damaged, or the student cannot be written.
        ConfigError, TrainingError: a generative one cannot be trained: see `train_generative`.
    """
    recorder = RunRecorder()
    dataset = store.control.datasets.get(dataset_id)
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id}.", "Run `freehold curate TASK` first.")
    if not any(verdict.permits for verdict in dataset.verdicts):
        raise RightsError(f"No verdict on dataset {dataset_id} permits training.", "See its left-out rows.")
    check_not_recalled(store, "dataset", dataset_id)
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    task = store.control.tasks.get(dataset.task)
    if task is not None and settings.student_kind(msgspec.structs.replace(task, form=dataset.form)) == "generative":
        return _train_generative()(store, settings, dataset, samples, now_ns, watch)
    fitted = fit_student(dataset, samples, settings.loop.seed)
    return _stored(store, dataset, fitted, recorder.finish(), now_ns)


def _train_generative() -> Callable[..., Student]:
    """Late, since it needs an extra.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        from freehold.train.generative.students import train_generative
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"A generative student cannot be trained: {error.name} is not installed.",
            "Run `pip install freehold[train]` (without a GPU: `pip install torch==2.13.0` first), "
            'or set `recipe = ""` under [students].',
        ) from error
    return train_generative


class FittedStudent(NamedTuple):
    """All that a student's folder holds, and what is told of it."""

    manifest: Manifest
    tensors: dict[str, npt.NDArray[Any]]
    wrong: float
    """Share of fit rows that the cross-fitted answer gets wrong."""
    same_bytes: float
    """Share of answers whose style is reproduced byte for byte."""


def fit_student(dataset: Dataset, samples: Sequence[Sample], seed: int) -> FittedStudent:
    """Fit on `samples` of the dataset as `train_student` does, and store nothing; the dataset says the answers' form.

    Raises:
        EvidenceError: there is nothing to fit.
    """
    rows, answers = fit_rows(dataset, samples)
    tune = [sample.prompt for sample in samples if sample.part == "tune" and sample.uniform]
    with threadpool_limits(1):  # more sum in another order, so that a machine with more cores would give other bytes
        fitted = fit_classifier([row.prompt for row in rows], answers, seed)
    style, same_bytes = learn_style(dataset.form.kind, [row.answer for row in rows])
    rates = token_rates(rows)
    manifest = Manifest(
        task=dataset.task,
        dataset=dataset.dataset_id,
        dataset_sha256=dataset.sha256,
        seed=seed,
        heads=fitted.heads,
        style=style,
        input_tokens_fixed=rates.fixed,
        input_tokens_per_character=rates.per_character,
        output_tokens_per_character=rates.per_answer_character,
    )
    classifier = Classifier(manifest, fitted.tensors)
    tuned = [classifier.answer(prompt) for prompt in tune]
    tensors = {
        **fitted.tensors,
        "fit_signals": fitted.signals,
        "fit_wrong": fitted.wrong,
        "fit_novelty": fitted.novelty,
        "fit_uniform": np.array([row.uniform for row in rows]),
        "tune_signals": np.array([answer.signal for answer in tuned], np.float64),
        "tune_novelty": np.array([answer.novelty for answer in tuned], np.float64),
        "checkpoint_shapes": fitted.crossed.shapes,
        "checkpoint_right": fitted.crossed.right,
    }
    return FittedStudent(manifest, tensors, float(fitted.wrong.mean()), same_bytes)


def fit_rows(
    dataset: Dataset, samples: Sequence[Sample]
) -> tuple[list[Sample], list[dict[tuple[str, ...], str] | None]]:
    """The fit part, and the closed answer of each row (None where it has not the form).

    Raises:
        EvidenceError: there is nothing to fit.
    """
    rows = [sample for sample in samples if sample.part == "fit"]
    paths = [field.path for field in dataset.form.fields]
    answers = [field_values(dataset.form.kind, paths, row.answer) for row in rows]
    if sum(answer is not None for answer in answers) < 2:
        raise EvidenceError(
            f"Dataset {dataset.dataset_id} has no answers of its form to fit on.", "Let more traffic pass."
        )
    return rows, answers


def _stored(store: Store, dataset: Dataset, fitted: FittedStudent, training: TrainingRun, now_ns: int) -> Student:
    manifest = fitted.manifest
    identity = f"{dataset.sha256}\n{manifest.seed}\n{__version__}\n{_RECIPE}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:24]
    path = f"{store.students_root.name}/{name}"
    sha256 = write_student(store.data / path, msgspec.to_builtins(manifest), fitted.tensors)
    known = store.control.students.get(f"st_{name}")
    if known is not None:
        return known
    student = Student(
        student_id=f"st_{name}",
        task=dataset.task,
        dataset_id=dataset.dataset_id,
        kind="classifier",
        path=path,
        sha256=sha256,
        verdicts=tuple(verdict for verdict in dataset.verdicts if verdict.permits),
        metrics={"cross_fitted_agreement": 1.0 - fitted.wrong, "style_reproduced": fitted.same_bytes},
        created_ns=now_ns,
        training=training,
    )
    store.control.students.put(student)
    return student
