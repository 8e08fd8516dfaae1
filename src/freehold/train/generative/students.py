"""Make a task's generative student of a dataset by a recipe, and store it.

    examples → tokens → weights → answers to the tune rows → a folder

By preferences (`method = "dpo"`) pairs of answers take the place of examples: see `preferring`.

The work lies in `students/.ID.run` while it goes on: a process that is killed leaves it, and the next one carries on
from its last checkpoint to the same bytes. The student in force is not touched by any of it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import ConfigError, TrainingError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.machines import TrainingRun
from freehold.domain.scoring import ExactScorer, Scorer
from freehold.domain.tasks import Task
from freehold.runners.machine import GENERATIVE_CODE, RunRecorder
from freehold.serving import BaseUsed, Gate, GenerativeManifest, learn_gate
from freehold.serving.bases import find_base
from freehold.serving.bases.places import remember_base
from freehold.serving.folder import MODEL
from freehold.serving.gate import VOCABULARY, StudentAnswer
from freehold.store.artifacts import adopt_student
from freehold.store.counsel import decisions
from freehold.train.counts import token_rates
from freehold.train.generative.answer_schema import answer_schema
from freehold.train.generative.distil import best_answers
from freehold.train.generative.encode import EVERY, encode_pairs
from freehold.train.generative.fit import Fit, fit, fit_preferences
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.generative.pack import batches, waste
from freehold.train.generative.places import place_of
from freehold.train.generative.preferring import Preferred, pairs_sha256, parted, preferred
from freehold.train.generative.prepare import prepare
from freehold.train.generative.tokenizer import read_tokenizer
from freehold.train.left_out import counted
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe, Scratch, load_recipe

if TYPE_CHECKING:
    from freehold.store import Store

Watch = Callable[[Progress], None]
_VERSION = 3
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
    scorer: Scorer = ExactScorer()
    """Of the task: which of several answers is best."""
    preferred: Preferred | None = None
    """For `method = "dpo"`."""

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
            *self._chosen_by,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    @property
    def _chosen_by(self) -> tuple[str, ...]:
        """What the choice of what is learned depends on beside the rows; nothing where all of them are."""
        found: tuple[str, ...] = ()
        if self.recipe.data.samples > 1:
            found += (msgspec.json.encode(self.scorer, order="sorted").decode(),)
        if self.preferred is not None:
            found += (pairs_sha256(self.preferred.pairs), self.preferred.sha256)
        return found


class Fitted(NamedTuple):
    """What training gave."""

    fit: Fit
    learned: int
    """Examples, or pairs."""
    left_out: Counter[str]
    """Why how many examples, or pairs, were not learned and not looked at."""
    not_chosen: int = 0
    """Answers that another one to the same prompt was taken for."""
    padding: float = 0.0
    """Share of the tokens computed that are padding."""


class Made(NamedTuple):
    """A student; its weights and tokenizer lie in the folder that it was made in."""

    manifest: GenerativeManifest
    tensors: dict[str, Any]
    fitted: Fitted
    answers: list[StudentAnswer]
    """To the tune rows, in order."""
    seconds: float
    """Of CPU, per answer."""


def make_student(plan: Plan, work: Path, watch: Watch, train_by: TrainBy = train_here) -> Made:
    """Make a student in the folder `work`, and store nothing; a run that was killed there is carried on with.

    The same plan gives the same files on one type of machine. `train_by`: where its workers run.

    Raises:
        EvidenceError, TrainingError, StudentError, ScorerError: see `train_generative`.
    """
    fitted = (_fit if plan.preferred is None else _prefer)(plan, work, watch, train_by)
    manifest = _manifest(plan, work, fitted.fit)
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

    By preferences: on pairs of the fit part, a tenth of whose prompts say when to stop.

    Args:
        store, settings: where it is stored, and which recipe and base.
        dataset, samples: what it learns from; its verdicts have been looked at.
        now_ns: when.
        watch: told how far it is.

    Raises:
        ConfigError: there is no such recipe or base model, or `freehold[train]` is not installed.
        EvidenceError: there is nothing to learn, or what there is contradicts itself.
        ScorerError: what chooses between answers cannot be carried out as it is set.
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
    run = recorder.finish(made.fitted.fit.environment, made.fitted.fit.cpu_seconds)
    return _stored(store, plan, made, path, sha256, run, now_ns)


def _plan(store: Store, settings: Settings, dataset: Dataset, samples: Sequence[Sample]) -> Plan:
    task = store.control.tasks.get(dataset.task) or Task(task_id=dataset.task, name=dataset.task)
    recipe = load_recipe(settings.recipe_name(task))
    base = None
    if not isinstance(recipe.model, Scratch):
        wanted = recipe.model.name or settings.task(task.name, task.task_id).student.base or settings.students.base
        if not wanted and recipe.method == "dpo":
            raise ConfigError(
                f"The recipe {recipe.name} learns preferences, and no base model is named that it could begin from.",
                'Name the base of the task\'s student: [students] base = "NAME" (`freehold models` lists them); a '
                "student from random weights is one by the path of its folder `model`.",
            )
        base = find_base(settings, wanted, decisions(store, task.task_id, wanted))
    at = BaseAt(base.used, base.folder) if base is not None else None
    scorer = task.scorer or ExactScorer()
    pairs = None
    if recipe.method == "dpo" and at is not None:
        pairs = preferred(store, dataset, samples, recipe, at, scorer)
    return Plan(dataset, samples, recipe, at, settings.loop.seed, scorer, pairs)


def _fit(plan: Plan, work: Path, watch: Watch, train_by: TrainBy) -> Fitted:
    """Train, or carry on with it; the weights and the tokenizer are in `work` then."""
    base = plan.base.folder if plan.base is not None else None
    taught = best_answers(plan.samples, plan.recipe, plan.scorer)
    found = prepare(plan.samples, plan.recipe, base, plan.seed, taught.samples)
    fitted = fit(work, plan.recipe, found.fit, found.tune, plan.seed, found.start, watch, train_by)
    if (work / MODEL).is_dir():
        found.tokenizer.save(work / MODEL)
    first = batches(found.fit, plan.recipe.run.batch_tokens, plan.recipe.data.pack, 0, plan.seed)
    learned = sum(one.epoch in (EVERY, 0) for one in found.fit)
    return Fitted(fitted, learned, found.left_out, taught.dropped, waste(first))


def _prefer(plan: Plan, work: Path, watch: Watch, train_by: TrainBy) -> Fitted:
    """As `_fit`, by preferences."""
    assert plan.base is not None and plan.preferred is not None
    tokenizer = read_tokenizer(plan.base.folder)
    to_fit, to_tune = parted(plan.preferred.pairs)
    fit_pairs, left_out = encode_pairs(to_fit, tokenizer, plan.recipe)
    tune_pairs, also = encode_pairs(to_tune, tokenizer, plan.recipe) if to_tune else ([], Counter[str]())
    start = plan.preferred.start
    fitted = fit_preferences(work, plan.recipe, fit_pairs, tune_pairs, plan.seed, start, watch, train_by)
    if (work / MODEL).is_dir():
        tokenizer.save(work / MODEL)
    return Fitted(fitted, len(fit_pairs), left_out + also)


def _manifest(plan: Plan, work: Path, fitted: Fit) -> GenerativeManifest:
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
        answer_schema=answer_schema(plan.samples, _answering_folder(plan, work)),
        parameters=fitted.parameters,
        input_tokens_fixed=rates.fixed,
        input_tokens_per_character=rates.per_character,
        output_tokens_per_character=rates.per_answer_character,
    )


def _answering_folder(plan: Plan, work: Path) -> Path:
    """With the configuration and tokenizer of what answers."""
    return work / MODEL if plan.base is None or plan.recipe.adapter is None else plan.base.folder


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
    fitted = made.fitted.fit
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
            **_counts(plan, made.fitted),
        },
        created_ns=now_ns,
        training=training,
        base=base.name if base is not None else "",
        base_licence=base.licence if base is not None else "",
        parent=plan.preferred.student if plan.preferred is not None else "",
    )
    store.control.students.put(student)
    return student


def _counts(plan: Plan, fitted: Fitted) -> dict[str, float]:
    """What was learned from, and what was not, as metrics."""
    told = counted(fitted.left_out)
    if plan.preferred is not None:
        return {"pairs": float(fitted.learned), **told}
    if plan.recipe.data.samples > 1:
        told["answers_not_chosen"] = float(fitted.not_chosen)
    return {"examples": float(fitted.learned), "padding": fitted.padding, **told}
