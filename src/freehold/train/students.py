"""Train a task's student on a dataset and store it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.store.artifacts import read_dataset, write_student
from freehold.train.classifier import field_values, fit_classifier
from freehold.train.style import learn_style
from freehold.upstreams.student.classifier import Classifier, Manifest

if TYPE_CHECKING:
    from freehold.store import Store

_ASSUMED_TOKENS_PER_CHARACTER = 0.25


def train_student(store: Store, settings: Settings, dataset_id: str, now_ns: int) -> Student:
    """Fit on the dataset's fit part and score its tune part; certify rows are never used here.

    The same dataset and seed give the same student.

    Raises:
        NotFound: no such dataset.
        RightsError: a verdict on the dataset does not permit training.
        EvidenceError: there is nothing to fit.
        StoreError: the dataset's file is damaged, or the student cannot be written.
    """
    dataset = store.control.datasets.get(dataset_id)
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id}.", "Run `freehold curate TASK` first.")
    if not any(verdict.permits for verdict in dataset.verdicts):
        raise RightsError(f"No verdict on dataset {dataset_id} permits training.", "See its left-out rows.")
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    rows = [sample for sample in samples if sample.part == "fit"]
    tune = [sample.prompt for sample in samples if sample.part == "tune" and sample.uniform]
    paths = [field.path for field in dataset.form.fields]
    answers = [field_values(dataset.form.kind, paths, row.answer) for row in rows]
    if sum(answer is not None for answer in answers) < 2:
        raise EvidenceError(f"Dataset {dataset_id} has no answers of its form to fit on.", "Let more traffic pass.")
    fitted = fit_classifier([row.prompt for row in rows], answers, settings.loop.seed)
    style, same_bytes = learn_style(dataset.form.kind, [row.answer for row in rows])
    fixed, per_character = _input_tokens(rows)
    manifest = Manifest(
        task=dataset.task,
        dataset=dataset_id,
        dataset_sha256=dataset.sha256,
        seed=settings.loop.seed,
        heads=fitted.heads,
        style=style,
        input_tokens_fixed=fixed,
        input_tokens_per_character=per_character,
        output_tokens_per_character=_output_tokens(rows),
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
    }
    return _stored(store, dataset, manifest, tensors, float(fitted.wrong.mean()), same_bytes, now_ns)


def _stored(
    store: Store,
    dataset: Dataset,
    manifest: Manifest,
    tensors: dict[str, npt.NDArray[Any]],
    wrong: float,
    same_bytes: float,
    now_ns: int,
) -> Student:
    name = hashlib.sha256(f"{dataset.sha256}\n{manifest.seed}\n{__version__}".encode()).hexdigest()[:24]
    path = f"{store.students_root.name}/{name}"
    sha256 = write_student(store.data / path, msgspec.to_builtins(manifest), tensors)
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
        metrics={"cross_fitted_agreement": 1.0 - wrong, "style_reproduced": same_bytes},
        created_ns=now_ns,
    )
    store.control.students.put(student)
    return student


def _input_tokens(rows: list[Sample]) -> tuple[float, float]:
    """Least squares of the incumbent's counts: tokens = fixed part (instructions) + rate · characters of the prompt."""
    counted = [(len(row.prompt), row.input_tokens) for row in rows if row.input_tokens > 0]
    if len(counted) < 2 or len({length for length, _ in counted}) < 2:
        return 0.0, _ASSUMED_TOKENS_PER_CHARACTER
    lengths, tokens = np.array(counted, np.float64).T
    centred = lengths - lengths.mean()
    rate = float(centred @ tokens / (centred @ centred))
    return max(0.0, float(tokens.mean() - rate * lengths.mean())), max(0.0, rate)


def _output_tokens(rows: list[Sample]) -> float:
    characters = sum(len(row.answer) for row in rows if row.output_tokens > 0)
    tokens = sum(row.output_tokens for row in rows if row.output_tokens > 0)
    return tokens / characters if characters else _ASSUMED_TOKENS_PER_CHARACTER
