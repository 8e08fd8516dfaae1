"""Build a task's dataset: immutable, content-hashed, with a rights verdict for every source of answers."""

from __future__ import annotations

import dataclasses
import datetime
import io
import shutil
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import polars as pl

from freehold.config import Settings
from freehold.config.curate_settings import BestAnswer, CurateStep
from freehold.curate.answers import AnswerRights, answer_rights
from freehold.curate.card import CARD, card_of
from freehold.curate.forms import recognise_form
from freehold.curate.others import other_answers
from freehold.curate.pii.pseudonyms import PSEUDONYMS
from freehold.curate.pipeline import GONE, Curated, pipeline_sha256, run_pipeline
from freehold.curate.poisoning.aside import in_force, leave_out
from freehold.curate.poisoning.canaries import PURPOSE, canaries
from freehold.curate.rows import candidate_rows, read_judgements, samples_of
from freehold.curate.samples import collect_samples
from freehold.domain.errors import EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Dataset, DeniedTerms, Sample, Verdict
from freehold.domain.tasks import AnswerForm, Task
from freehold.rights.words import in_words, what_to_do
from freehold.runners import Batches, LocalBatches
from freehold.store.artifacts import LEFT_OUT, dataset_sha256, write_dataset
from freehold.store.traces.read import read_traces

if TYPE_CHECKING:
    from freehold.store import Store


def build_dataset(store: Store, settings: Settings, task_id: str, now_ns: int) -> Dataset:
    """Curate the task's traces into a stored dataset; the same traces give the same id.

    Raises:
        NotFound: no such task.
        RightsError: no answer may be used for training; the verdicts are named.
        EvidenceError: too few usable answers, or they are not closed.
    """
    task = store.control.tasks.get(task_id)
    if task is None:
        raise NotFound(f"There is no task {task_id}.", "`freehold tasks` lists them.")
    gathered = _gather(store, settings, task, task.evidence_since_ns, now_ns)
    return _stored(store, settings, task, gathered, now_ns)


def rebuild_samples(store: Store, settings: Settings, dataset: Dataset) -> list[Sample]:
    """The rows of a dataset, curated again from the traces of its time by the settings, quarantine and counsel in force
    now; nothing is stored. Without any change since, they are the dataset's.

    Raises:
        NotFound: its task is gone.
    """
    task = store.control.tasks.get(dataset.task)
    if task is None:
        raise NotFound(f"There is no task {dataset.task}.", "`freehold tasks` lists them.")
    # The last row is the newest, unless planted ones follow.
    until_ns = dataset.created_ns if settings.curate.canaries else dataset.until_ns
    since_ns = min(task.evidence_since_ns, dataset.since_ns)
    return _samples(store, settings, task, _gather(store, settings, task, since_ns, dataset.created_ns, until_ns))


class _Gathered(NamedTuple):
    """A task's traces as rows that went through the steps."""

    curated: Curated
    left_out: Counter[str]
    verdicts: list[Verdict]
    denied: tuple[DeniedTerms, ...]
    steps: tuple[CurateStep, ...]


def _gather(
    store: Store, settings: Settings, task: Task, since_ns: int, now_ns: int, until_ns: int | None = None
) -> _Gathered:
    frame = read_traces(store, task=task.task_id, kinds=("request", "audit"), since_ns=since_ns)
    frame = _until(frame, until_ns).sort("at_ns", "trace_id")
    today = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC).date()
    purpose = "distil" if settings.student_kind(task) == "generative" else "train_classifier"
    rights = answer_rights(store, settings, task.task_id, today, purpose)
    samples, left_out = collect_samples(frame, rights)
    denied = rights.denied(len(samples), today)
    samples = samples[-settings.loop.max_samples :]
    steps = settings.curate_steps(task.name, task.task_id)
    if any(isinstance(step, BestAnswer) for step in steps):
        shadows = read_traces(store, task=task.task_id, kinds=("shadow",), since_ns=since_ns)
        frame = pl.concat([frame, _until(shadows, until_ns)]).sort("at_ns", "trace_id")
        samples += other_answers(frame, samples, rights)
    rows = candidate_rows(samples, frame, _until(read_judgements(store, frame), until_ns))
    rows, aside = leave_out(rows, in_force(store, task.task_id))
    left_out.update(aside)
    curated = run_pipeline(rows, steps, batches_of(settings), lambda: store.keys.derive(PSEUDONYMS))
    curated = dataclasses.replace(curated, left_out=pl.concat([_not_permitted(rights), curated.left_out]))
    return _Gathered(curated, left_out, rights.verdicts, denied, steps)


def _until(frame: pl.DataFrame, until_ns: int | None) -> pl.DataFrame:
    return frame if until_ns is None else frame.filter(pl.col("at_ns") <= until_ns)


def _samples(store: Store, settings: Settings, task: Task, gathered: _Gathered) -> list[Sample]:
    samples = samples_of(gathered.curated.rows)
    if settings.curate.canaries:
        samples += canaries(store.keys.derive(PURPOSE), task.task_id, settings.curate.canaries, samples)
    return samples


def batches_of(settings: Settings) -> Batches:
    """Where the expensive parts of steps run.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    runner = settings.runner
    if runner.kind == "ray":
        from freehold.runners.ray import RayBatches  # late: it needs an extra

        return RayBatches(runner.address, runner.batch_rows)
    return LocalBatches(runner.batch_rows)


def _stored(store: Store, settings: Settings, task: Task, gathered: _Gathered, now_ns: int) -> Dataset:
    curated, left_out, verdicts, denied, steps = gathered
    for step in curated.steps:
        left_out.update({f"{step.step}: {reason}": count for reason, count in step.reasons.items()})
    form = _checked_form(settings, task, samples_of(curated.rows), left_out, verdicts)
    samples = _samples(store, settings, task, gathered)
    sha256 = dataset_sha256(samples)
    known = store.control.datasets.get(f"ds_{sha256[:32]}")
    if known is not None:
        return known
    before = store.control.datasets.list(task.task_id, limit=1, newest_first=True)
    dataset = Dataset(
        dataset_id=f"ds_{sha256[:32]}",
        task=task.task_id,
        path=f"{store.datasets_root.name}/{sha256[:32]}",
        sha256=sha256,
        rows=len(samples),
        parts=dict(Counter[str](sample.part for sample in samples)),
        left_out=dict(left_out),
        verdicts=tuple(verdicts),
        denied=denied,
        form=form,
        since_ns=samples[0].at_ns,
        until_ns=samples[-1].at_ns,
        created_ns=now_ns,
        steps=curated.steps,
        pipeline_sha256=pipeline_sha256(steps),
        parent=before[0].dataset_id if before else "",
    )
    beside = {CARD: card_of(dataset, samples, task, steps).encode(), LEFT_OUT: _parquet(curated.left_out)}
    for draft in store.datasets_root.glob(f".{sha256[:32]}.*"):
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed while it wrote the same
    write_dataset(store.datasets_root / sha256[:32], samples, beside)
    store.control.datasets.put(dataset)
    return dataset


def _not_permitted(rights: AnswerRights) -> pl.DataFrame:
    """Rows that were left out before they had a part, as `freehold.curate.pipeline.Curated.left_out` lists others."""
    rows = [(found.trace_id, "", found.step, found.reason) for found in rights.left_out]
    return pl.DataFrame(rows, schema=dict.fromkeys(GONE, pl.String), orient="row")


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _checked_form(
    settings: Settings, task: Task, samples: list[Sample], left_out: Counter[str], verdicts: list[Verdict]
) -> AnswerForm:
    name, wanted = f"Task {task.name!r}", settings.loop.min_samples
    denied = [verdict for verdict in verdicts if not verdict.permits]
    if denied and not samples:
        raise RightsError(f"{name} may not train a student: {in_words(denied[0])}", what_to_do(denied[0]))
    if len(samples) < wanted:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(3))
        raise EvidenceError(
            f"{name} has {len(samples)} usable answers of {wanted} wanted"
            + (f" (left out: {reasons})." if reasons else "."),
            "Let more traffic pass through.",
        )
    form = recognise_form([sample.answer for sample in samples])
    if form is None or settings.student_kind(msgspec.structs.replace(task, form=form)) is None:
        raise EvidenceError(
            f"{name} has answers that nothing can score: {form.reason if form else 'too few'}",
            "It stays with the incumbent, until a scorer that computes is set (`freehold scorer guess`).",
        )
    return form
