"""Make a task's generative student of a dataset by a recipe, and store it.

    examples → tokens → weights → answers to the tune rows → a folder

The work lies in `students/.ID.run` while it goes on: a process that is killed leaves it, and the next one carries on
from its last checkpoint to the same bytes. The student in force is not touched by any of it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import TrainingError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.machines import TrainingRun
from freehold.domain.tasks import Task
from freehold.runners.machine import GENERATIVE_CODE, RunRecorder
from freehold.serving import BaseUsed, Gate, GenerativeManifest, learn_gate
from freehold.serving.bases import find_base
from freehold.serving.bases.places import remember_base
from freehold.serving.folder import MODEL
from freehold.serving.gate import VOCABULARY, StudentAnswer
from freehold.store.artifacts import adopt_student
from freehold.train.counts import token_rates
from freehold.train.generative.fit import Fit, fit
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.generative.places import place_of
from freehold.train.generative.prepare import prepare
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe, Scratch, load_recipe

if TYPE_CHECKING:
    from freehold.store import Store

Watch = Callable[[Progress], None]
_VERSION = 1
"""Raised when the same rows, recipe and seed come to give other files."""


class BaseAt(NamedTuple):
    """A base model that was checked, and where it lies."""

    used: BaseUsed
    folder: Path


class Plan(NamedTuple):
    """What a student is made of."""

    dataset: Dataset
    samples: Sequence[Sample]
    recipe: Recipe
    base: BaseAt | None
    seed: int

    @property
    def name(self) -> str:
        """A hash of all that the student's bytes depend on, but for the machine."""
        parts = (
            self.dataset.sha256,
            str(self.seed),
            __version__,
            str(_VERSION),
            msgspec.json.encode(self.recipe, order="sorted").decode(),
            self.base.used.sha256 if self.base is not None else "",
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class Made(NamedTuple):
    """A student; its weights and tokenizer lie in the folder that it was made in."""

    manifest: GenerativeManifest
    tensors: dict[str, Any]
    fitted: Fit
    answers: list[StudentAnswer]
    """To the tune rows, in order."""
    seconds: float
    """Of CPU, per answer."""


def make_student(plan: Plan, work: Path, watch: Watch, train_by: TrainBy = train_here) -> Made:
    """Make a student in the folder `work`, and store nothing; a run that was killed there is carried on with.

    The same plan gives the same files on one type of machine. `train_by`: where its workers run.

    Raises:
        EvidenceError, TrainingError, StudentError: see `train_generative`.
    """
    fitted = _fit(plan, work, watch, train_by)
    manifest = _manifest(plan, fitted)
    learned = learn_gate(sample.prompt for sample in plan.samples if sample.part == "fit")
    gate = Gate(manifest, bytes(learned.vocabulary).decode().split("\n"))
    _tune_answers(plan, work, gate, most=1)  # loads what computes: not the answers' time
    began = time.process_time()
    answers = _tune_answers(plan, work, gate)
    seconds = (time.process_time() - began) / max(1, len(answers))
    tensors = {VOCABULARY: learned.vocabulary, "fit_novelty": learned.novelty, **_tensors(answers)}
    return Made(manifest, tensors, fitted, answers, seconds)


def train_generative(
    store: Store, settings: Settings, dataset: Dataset, samples: Sequence[Sample], now_ns: int, watch: Watch
) -> Student:
    """Fit on the dataset's fit part, stop early by its tune part, and answer that; certify rows are never used here.

    Args:
        store, settings: where it is stored, and which recipe and base.
        dataset, samples: what it learns from; its verdicts have been looked at.
        now_ns: when.
        watch: told how far it is.

    Raises:
        ConfigError: there is no such recipe or base model, or `freehold[train]` is not installed.
        EvidenceError: there is nothing to learn, or what there is contradicts itself.
        RightsError: the base model may not be trained for this.
        TrainingError: it cannot be begun or carried on (memory, disk, a loss that is no number): what to do.
        StudentError, StoreError: files are damaged, or cannot be written.
    """
    recorder = RunRecorder(GENERATIVE_CODE)
    plan = _plan(store, settings, dataset, samples)
    known = store.control.students.get(f"st_{plan.name}")
    if known is not None and (store.data / known.path).is_dir():
        return known
    work = store.students_root / f".{plan.name}.run"
    work.mkdir(parents=True, exist_ok=True)
    made = make_student(plan, work, watch, place_of(settings))
    path = f"{store.students_root.name}/{plan.name}"
    sha256 = adopt_student(store.data / path, work, msgspec.to_builtins(made.manifest), made.tensors)
    if plan.base is not None:
        remember_base(store.data, plan.base.used, plan.base.folder)
    run = recorder.finish(made.fitted.environment, made.fitted.cpu_seconds)
    return _stored(store, plan, made, path, sha256, run, now_ns)


def _plan(store: Store, settings: Settings, dataset: Dataset, samples: Sequence[Sample]) -> Plan:
    task = store.control.tasks.get(dataset.task) or Task(task_id=dataset.task, name=dataset.task)
    recipe = load_recipe(settings.recipe_name(task))
    base = None
    if not isinstance(recipe.model, Scratch):
        own = settings.task(task.name, task.task_id).student.base
        base = find_base(settings, recipe.model.name or own or settings.students.base)
    at = BaseAt(base.used, base.folder) if base is not None else None
    return Plan(dataset, samples, recipe, at, settings.loop.seed)


def _fit(plan: Plan, work: Path, watch: Watch, train_by: TrainBy) -> Fit:
    """Train, or carry on with it; the weights and the tokenizer are in `work` then."""
    base = plan.base.folder if plan.base is not None else None
    fit_tokens, tune_tokens, tokenizer, start = prepare(plan.samples, plan.recipe, base, plan.seed)
    fitted = fit(work, plan.recipe, fit_tokens, tune_tokens, plan.seed, start, watch, train_by)
    if (work / MODEL).is_dir():
        tokenizer.save(work / MODEL)
    return fitted


def _manifest(plan: Plan, fitted: Fit) -> GenerativeManifest:
    rates = token_rates([sample for sample in plan.samples if sample.part == "fit"])
    return GenerativeManifest(
        task=plan.dataset.task,
        dataset=plan.dataset.dataset_id,
        dataset_sha256=plan.dataset.sha256,
        seed=plan.seed,
        recipe=msgspec.to_builtins(plan.recipe),
        weights="full" if plan.recipe.adapter is None else "adapter",
        base=plan.base.used if plan.base is not None else None,
        context=_context(plan),
        max_answer_tokens=plan.recipe.max_answer_tokens,
        parameters=fitted.parameters,
        input_tokens_fixed=rates.fixed,
        input_tokens_per_character=rates.per_character,
        output_tokens_per_character=rates.per_answer_character,
    )


def _context(plan: Plan) -> int:
    wanted = plan.recipe.data.context
    return wanted if plan.base is None else max(wanted, plan.base.used.context)


def _tune_answers(plan: Plan, work: Path, gate: Gate, most: int | None = None) -> list[StudentAnswer]:
    from freehold.serving.engine import answer_all

    prompts = [sample.prompt for sample in plan.samples if sample.part == "tune"][:most]
    where = plan.base.folder if plan.base is not None and gate.manifest.weights == "adapter" else None
    return answer_all(work, gate.manifest, where, prompts, gate)


def _tensors(answers: Sequence[StudentAnswer]) -> dict[str, Any]:
    return {
        "tune_answers": np.frombuffer(msgspec.json.encode([answer.text for answer in answers]), np.uint8),
        "tune_signals": np.array([answer.signal for answer in answers], np.float64),
        "tune_novelty": np.array([answer.novelty for answer in answers], np.float64),
    }


def _stored(
    store: Store, plan: Plan, made: Made, path: str, sha256: str, training: TrainingRun, now_ns: int
) -> Student:
    known = store.control.students.get(f"st_{plan.name}")
    if known is not None:  # its folder was lost, and is there again
        if known.sha256 != sha256:
            raise TrainingError(
                f"{known.student_id} was trained to other bytes before ({known.sha256[:12]}, now {sha256[:12]}).",
                "Put its folder back from a backup, or train on the machine that it was trained on.",
            )
        return known
    fitted = made.fitted
    tuned = [sample for sample in plan.samples if sample.part == "tune"]
    same = [answer.text.strip() == sample.answer.strip() for answer, sample in zip(made.answers, tuned, strict=True)]
    base: BaseUsed | None = plan.base.used if plan.base is not None else None
    student = Student(
        student_id=f"st_{plan.name}",
        task=plan.dataset.task,
        dataset_id=plan.dataset.dataset_id,
        kind="generative",
        path=path,
        sha256=sha256,
        verdicts=tuple(verdict for verdict in plan.dataset.verdicts if verdict.permits),
        metrics={
            "tune_agreement": float(np.mean(same)) if same else 0.0,
            "tune_loss": fitted.tune_loss or 0.0,
            "fit_loss": fitted.fit_loss,
            "steps": float(fitted.steps),
            "tokens": float(fitted.tokens),
            "parameters": float(fitted.parameters),
            "kilowatt_hours": fitted.kilowatt_hours,
            "cpu_seconds_per_answer": made.seconds,
        },
        created_ns=now_ns,
        training=training,
        base=base.name if base is not None else "",
        base_licence=base.licence if base is not None else "",
    )
    store.control.students.put(student)
    return student
