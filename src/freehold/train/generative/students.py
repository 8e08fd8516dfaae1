"""Make a task's generative student of a dataset by a recipe, and store it.

    examples → tokens → weights → answers to the tune rows → a folder

The work lies in `students/.ID.run` while it goes on: a process that is killed leaves it, and the next one carries on
from its last checkpoint to the same bytes. The student in force is not touched by any of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from freehold import __version__
from freehold.config import Settings
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
from freehold.train.generative.augment import augmented
from freehold.train.generative.encode import encode
from freehold.train.generative.examples import examples_of
from freehold.train.generative.fit import BaseStart, Fit, ScratchStart, Start, fit
from freehold.train.generative.tokenizer import Tokenizer, read_tokenizer, train_tokenizer
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe, Scratch, load_recipe

if TYPE_CHECKING:
    from freehold.serving.bases import Base
    from freehold.store import Store

Watch = Callable[[Progress], None]
_VERSION = 1
"""Raised when the same rows, recipe and seed come to give other files."""


class _Plan(NamedTuple):
    """What a student is made of."""

    task: Task
    dataset: Dataset
    samples: Sequence[Sample]
    recipe: Recipe
    base: Base | None
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
    fitted = _fit(plan, work, watch)
    manifest = _manifest(plan, fitted)
    learned = learn_gate(sample.prompt for sample in samples if sample.part == "fit")
    gate = Gate(manifest, bytes(learned.vocabulary).decode().split("\n"))
    answers = _tune_answers(plan, work, gate)
    tensors = {VOCABULARY: learned.vocabulary, "fit_novelty": learned.novelty, **_tensors(answers)}
    path = f"{store.students_root.name}/{plan.name}"
    sha256 = adopt_student(store.data / path, work, msgspec.to_builtins(manifest), tensors)
    if plan.base is not None:
        remember_base(store.data, plan.base.used, plan.base.folder)
    return _stored(store, plan, fitted, answers, path, sha256, recorder.finish(), now_ns)


def _plan(store: Store, settings: Settings, dataset: Dataset, samples: Sequence[Sample]) -> _Plan:
    task = store.control.tasks.get(dataset.task) or Task(task_id=dataset.task, name=dataset.task)
    recipe = load_recipe(settings.recipe_name(task))
    base = None
    if not isinstance(recipe.model, Scratch):
        own = settings.task(task.name, task.task_id).student.base
        base = find_base(settings, recipe.model.name or own or settings.students.base)
    return _Plan(task, dataset, samples, recipe, base, settings.loop.seed)


def _fit(plan: _Plan, work: Path, watch: Watch) -> Fit:
    """Train, or carry on with it; the weights and the tokenizer are in `work` then."""
    recipe = plan.recipe
    to_fit, to_tune = examples_of(plan.samples, recipe)
    tokenizer, start = _start(plan)
    fit_tokens, _ = encode(augmented(to_fit, recipe, plan.seed), tokenizer, recipe)
    tune_tokens = encode(to_tune, tokenizer, recipe)[0] if to_tune else []
    fitted = fit(work, recipe, fit_tokens, tune_tokens, plan.seed, start, watch)
    if (work / MODEL).is_dir():
        tokenizer.save(work / MODEL)
    return fitted


def _start(plan: _Plan) -> tuple[Tokenizer, Start]:
    if plan.base is not None:
        return read_tokenizer(plan.base.folder), BaseStart(folder=str(plan.base.folder))
    assert isinstance(plan.recipe.model, Scratch)
    texts = [text for sample in plan.samples if sample.part == "fit" for text in (sample.prompt, sample.answer)]
    tokenizer = train_tokenizer(texts, plan.recipe.model, plan.recipe.data.context)
    return tokenizer, ScratchStart(vocabulary=tokenizer.size, pad=tokenizer.ids.pad, end=tokenizer.ids.end)


def _manifest(plan: _Plan, fitted: Fit) -> GenerativeManifest:
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


def _context(plan: _Plan) -> int:
    wanted = plan.recipe.data.context
    return wanted if plan.base is None else max(wanted, plan.base.used.context)


def _tune_answers(plan: _Plan, work: Path, gate: Gate) -> list[StudentAnswer]:
    from freehold.serving.engine import answer_all

    prompts = [sample.prompt for sample in plan.samples if sample.part == "tune"]
    where = plan.base.folder if plan.base is not None and gate.manifest.weights == "adapter" else None
    return answer_all(work, gate.manifest, where, prompts, gate)


def _tensors(answers: Sequence[StudentAnswer]) -> dict[str, Any]:
    return {
        "tune_answers": np.frombuffer(msgspec.json.encode([answer.text for answer in answers]), np.uint8),
        "tune_signals": np.array([answer.signal for answer in answers], np.float64),
        "tune_novelty": np.array([answer.novelty for answer in answers], np.float64),
    }


def _stored(
    store: Store,
    plan: _Plan,
    fitted: Fit,
    answers: Sequence[StudentAnswer],
    path: str,
    sha256: str,
    training: TrainingRun,
    now_ns: int,
) -> Student:
    tuned = [sample for sample in plan.samples if sample.part == "tune"]
    same = [answer.text.strip() == sample.answer.strip() for answer, sample in zip(answers, tuned, strict=True)]
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
        },
        created_ns=now_ns,
        training=training,
        base=base.name if base is not None else "",
        base_licence=base.licence if base is not None else "",
    )
    store.control.students.put(student)
    return student
