"""Shadowed requests in, a task's dataset of scored outcomes out: what a ladder of models is fitted and certified on.

The incumbent's answer is the reference: beside scorers that compare it scores 1, others score it by itself. What a
candidate answers and nothing can score counts as 0, and so does what a student answers to a certify row that it was
fitted on. A row is left out only by what does not depend on a candidate's answer, or where a candidate was not heard.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from freehold.config import Settings
from freehold.curate.forms import recognise_form
from freehold.curate.outcome_store import OutcomeFile, write_outcomes
from freehold.curate.samples import fold
from freehold.curate.shadows import PARTS, PARTS_WITH_STUDENT, Answer, Shadowed, collect_shadows, part_of
from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Dataset, Sample, Student, Verdict
from freehold.domain.scoring import Comparison, JudgeScorer, Scorer, scored
from freehold.domain.tasks import AnswerForm, Task
from freehold.rights import judge_training, terms_of_url
from freehold.scorers import check, compare, context_of, needs_reference
from freehold.signals.outcomes import Outcomes
from freehold.store.artifacts import dataset_sha256, read_dataset, read_student, write_dataset
from freehold.store.read_traces import read_feedback
from freehold.upstreams.student import Classifier, build_classifier

if TYPE_CHECKING:
    from freehold.store import Store

MAX_LOST = 0.1
"""Larger shares of incumbents' answers that cannot be scored, or of a candidate's calls that fail, are no accident."""
ENOUGH_ANSWERS = 0.5
"""A candidate with fewer answers than this share of the most that any has is not compared yet."""
_NANO = 1e9
_NOT_SCORED = "the incumbent's answer could not be scored"


class ScoredSet(msgspec.Struct, frozen=True):
    """A stored dataset of scored outcomes."""

    dataset: str
    outcomes: OutcomeFile
    models: tuple[str, ...]
    """The incumbent, then the candidates in order of cost, as a router knows them: a student as `student/ID`."""
    upstreams: tuple[str, ...]
    """Of each; empty for a student."""
    rows: int
    parts: dict[str, int]
    whole: float
    """Share of requests that did not ask for a stream."""
    left_out: dict[str, int]
    without: dict[str, str]
    """Candidates that are not compared, and why."""


class _Student(NamedTuple):
    name: str
    classifier: Classifier
    fitted: frozenset[str]
    """Prompts, folded, of its fit part."""

    def answer(self, prompt: str) -> str:
        return self.classifier.answer(prompt).text

    def was_fitted_on(self, prompt: str) -> bool:
        return fold(prompt) in self.fitted


def scorer_of(settings: Settings, task: Task) -> Scorer | None:
    """The task's scorer: what is configured goes before what is stored."""
    return settings.task(task.name, task.task_id).scorer or task.scorer


def build_scored(store: Store, settings: Settings, task_id: str, student: Student | None, now_ns: int) -> ScoredSet:
    """Curate and score the task's shadowed requests; the same traces give the same dataset.

    `student`: one that the organisation owns, to be a candidate as well.

    Raises:
        NotFound: no such task.
        RightsError: the incumbent's answers may not be used for training.
        EvidenceError: too few requests, no candidate left, no price of the incumbent, or answers that nothing scores.
        ScorerError: the scorer cannot be carried out as it is set.
    """
    task = store.control.tasks.get(task_id)
    if task is None:
        raise NotFound(f"There is no task {task_id}.", "`freehold tasks` lists them.")
    rows, left_out = collect_shadows(store, task, settings.loop.max_samples)
    own = None if student is None else _loaded(store, student)
    if own is not None:
        left_out["not for a student"] += sum(not row.for_student for row in rows)
        rows = [row for row in rows if row.for_student]
    shares = PARTS if own is None else PARTS_WITH_STUDENT
    if own is not None:  # its own fit rows would flatter it
        seen = [own.was_fitted_on(row.prompt) and part_of(row.share, shares) != "certify" for row in rows]
        left_out["the student was fitted on it"] += sum(seen)
        rows = [row for row, known in zip(rows, seen, strict=True) if not known]
    verdicts, terms = _verdicts(settings, rows, now_ns)
    rows = _permitted(rows, terms, verdicts, left_out)
    candidates, without = _candidates(settings, rows, terms, verdicts)
    complete = [row for row in rows if all(name in row.answers for name in candidates)]
    left_out["a candidate gave no answer"] += len(rows) - len(complete)
    _check_rows(task, complete, candidates, own, without)
    outcomes, complete = _score(store, settings, task, complete, candidates, own, shares, left_out)
    return _stored(store, task, outcomes, complete, terms, verdicts, left_out, without, shares, now_ns)


def _loaded(store: Store, student: Student) -> _Student:
    dataset = store.control.datasets.get(student.dataset_id)
    if dataset is None:
        raise NotFound(f"Dataset {student.dataset_id} of student {student.student_id} is not stored.", "Train again.")
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    classifier = build_classifier(*read_student(store.data / student.path, student.sha256))
    return _Student(
        f"student/{student.student_id}",
        classifier,
        frozenset(fold(sample.prompt) for sample in samples if sample.part == "fit"),
    )


def _verdicts(settings: Settings, rows: Sequence[Shadowed], now_ns: int) -> tuple[dict[str, Verdict], dict[str, str]]:
    """Verdicts by terms, and terms by upstream, of every upstream that gave an answer."""
    today = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC).date()
    names = {answer.upstream for row in rows for answer in (row.incumbent, *row.answers.values())}
    terms: dict[str, str] = {}
    for name in sorted(names):
        known = settings.upstreams.get(name)
        terms[name] = "unknown" if known is None else known.terms or terms_of_url(known.base_url)
    verdicts = {name: judge_training("train_classifier", name, settings.counsel, today) for name in set(terms.values())}
    return verdicts, terms


def _permitted(
    rows: list[Shadowed], terms: dict[str, str], verdicts: dict[str, Verdict], left_out: Counter[str]
) -> list[Shadowed]:
    """Rows whose incumbent's answer may be used."""
    kept: list[Shadowed] = []
    for row in rows:
        verdict = verdicts[terms[row.incumbent.upstream]]
        if verdict.permits:
            kept.append(row)
        else:
            left_out[f"rights: {verdict.outcome} ({verdict.subject})"] += 1
    if rows and not kept:
        denied = verdicts[terms[rows[-1].incumbent.upstream]]
        raise RightsError(
            f"No router may be fitted to the incumbent's answers: {denied.subject}: {denied.reason}",
            "Set the upstream's `terms`, or record counsel's decision under [[counsel]].",
        )
    return kept


def _candidates(
    settings: Settings, rows: Sequence[Shadowed], terms: dict[str, str], verdicts: dict[str, Verdict]
) -> tuple[list[str], dict[str, str]]:
    """Models whose answers can be compared, the cheapest first; and the others, each with what stands in its way."""
    asked = [
        name for name in settings.candidates.models if any(name in row.answers or name in row.failed for row in rows)
    ]
    counts = {name: sum(name in row.answers for row in rows) for name in asked}
    most = max(counts.values(), default=0)
    cost: dict[str, float] = {}
    without: dict[str, str] = {}
    for name in asked:
        given = [row.answers[name] for row in rows if name in row.answers]
        failures = sum(name in row.failed for row in rows)
        prices = [_nano(settings, answer) for answer in given]
        verdict = verdicts[terms[given[-1].upstream]] if given else None
        known = [price for price in prices if price is not None]
        if failures > MAX_LOST * (failures + len(given)):
            without[name] = f"{failures} of {failures + len(given)} calls to it failed"
        elif len(given) < ENOUGH_ANSWERS * most:
            without[name] = f"only {len(given)} answers yet, of {most}"
        elif verdict is not None and not verdict.permits:
            without[name] = f"{verdict.subject}: {verdict.reason}"
        elif len(known) < len(prices):
            without[name] = "its price is not known: set `prices` of its upstream"
        else:
            cost[name] = sum(known) / max(1, len(known))
    return sorted(cost, key=lambda name: (cost[name], name)), without


def _nano(settings: Settings, answer: Answer) -> int | None:
    """What an answer cost; what you own and gave no price costs nothing here."""
    if answer.nano is None and settings.upstreams[answer.upstream].owned:
        return 0
    return answer.nano


def _check_rows(
    task: Task, rows: Sequence[Shadowed], candidates: Sequence[str], student: _Student | None, without: dict[str, str]
) -> None:
    reasons = "; ".join(f"{name}: {why}" for name, why in without.items())
    if without and not candidates and student is None:
        raise EvidenceError(
            f"Task {task.name!r} has no candidate that can be compared with the incumbent ({reasons}).",
            "Mend what stands in their way, or name others under [candidates].",
        )
    if not rows:
        raise EvidenceError(
            f"No request of task {task.name!r} has an answer of every candidate.",
            "Name models under [candidates], and let traffic pass through.",
        )
    if any(row.incumbent.nano is None for row in rows):
        raise EvidenceError(
            f"The price of {task.name!r}'s incumbent is not known, so nothing can be said to be saved.",
            "Set `prices` of its upstream.",
        )


def _score(
    store: Store,
    settings: Settings,
    task: Task,
    rows: list[Shadowed],
    candidates: Sequence[str],
    student: _Student | None,
    shares: tuple[float, float],
    left_out: Counter[str],
) -> tuple[Outcomes, list[Shadowed]]:
    scorer = _checked_scorer(scorer_of(settings, task), task, rows)
    people = _feedback(store, rows)
    names = (*((student.name,) if student else ()), *candidates)
    kept: list[Shadowed] = []
    scores: list[list[float]] = []
    answers: list[list[str | None]] = []
    for row in rows:
        texts = [*((student.answer(row.prompt),) if student else ()), *(row.answers[name].text for name in candidates)]
        ids = [*(("",) if student else ()), *(row.answers[name].trace_id for name in candidates)]
        compared = [
            _compare(scorer, row, text, people.get(own, ()), people.get(row.incumbent.trace_id, ()))
            for text, own in zip(texts, ids, strict=True)
        ]
        reference = compared[0].reference.value
        if reference is None:
            left_out[_NOT_SCORED] += 1
            continue
        given = [one.answer.value or 0.0 for one in compared]
        if student is not None and student.was_fitted_on(row.prompt):
            given[0] = 0.0
        kept.append(row)
        scores.append([reference, *given])
        answers.append([row.incumbent.text, *texts])
    if left_out[_NOT_SCORED] > MAX_LOST * len(rows):
        raise EvidenceError(
            f"{left_out[_NOT_SCORED]} of {len(rows)} answers of the incumbent cannot be scored.",
            f"`freehold scorer try {task.task_id}` shows why.",
        )
    costs = [
        [row.incumbent.nano or 0, *((0,) if student else ()),
         *(_nano(settings, row.answers[name]) or 0 for name in candidates)]
        for row in kept
    ]  # fmt: skip
    outcomes = Outcomes(
        prompt_ids=[row.trace_id for row in kept],
        prompts=[row.prompt for row in kept],
        tasks=[task.task_id] * len(kept),
        models=(kept[-1].request.model, *names),
        scores=np.array(scores, np.float64),
        costs=np.array(costs, np.float64) / _NANO,
        answers=tuple(list(given) for given in zip(*answers, strict=True)),
        owned=(False, *(name.startswith("student/") for name in names)),
    )
    return outcomes, kept


def _checked_scorer(scorer: Scorer | None, task: Task, rows: Sequence[Shadowed]) -> Scorer | None:
    if isinstance(scorer, JudgeScorer):
        raise EvidenceError(
            f"Task {task.name!r} is scored by a judge, and the loop asks none: that would cost as much again.",
            "Choose a scorer that computes: `freehold scorer set TASK KIND`.",
        )
    if scorer is not None:
        check(scorer)
        return scorer
    form = _form(task, rows)
    if form.kind == "open":
        raise EvidenceError(
            f"The answers of task {task.name!r} are open, and it has no scorer.",
            f"`freehold scorer guess {task.task_id}` suggests one.",
        )
    return None


def _form(task: Task, rows: Sequence[Shadowed]) -> AnswerForm:
    found = recognise_form([row.incumbent.text or "" for row in rows])
    return found or task.form or AnswerForm(kind="open", reason="Too few answers to say.")


def _compare(
    scorer: Scorer | None,
    row: Shadowed,
    text: str | None,
    people: tuple[float, ...],
    people_of_reference: tuple[float, ...],
) -> Comparison:
    reference = row.incumbent.text
    if scorer is None:
        agrees = text is not None and not disagreement(text, reference or "")
        return Comparison(reference=scored(1.0, "The reference."), answer=scored(float(agrees), "The same, or not."))
    found = compare(scorer, text, reference, context_of(row.request, people, people_of_reference))
    if text is None and needs_reference(scorer):  # nothing to score, which says nothing of the reference
        return Comparison(reference=compare(scorer, reference, reference).reference, answer=found.answer)
    return found


def _feedback(store: Store, rows: Sequence[Shadowed]) -> dict[str, tuple[float, ...]]:
    ids = {answer.trace_id for row in rows for answer in (row.incumbent, *row.answers.values())}
    found: dict[str, tuple[float, ...]] = {}
    frame = read_feedback(store, trace_ids=sorted(ids)).select("trace_id", "score").drop_nulls()
    for trace_id, value in frame.iter_rows():
        found[trace_id] = (*found.get(trace_id, ()), value)
    return found


def _stored(
    store: Store,
    task: Task,
    outcomes: Outcomes,
    rows: list[Shadowed],
    terms: dict[str, str],
    verdicts: dict[str, Verdict],
    left_out: Counter[str],
    without: dict[str, str],
    shares: tuple[float, float],
    now_ns: int,
) -> ScoredSet:
    samples = [_sample(row, terms[row.incumbent.upstream], shares) for row in rows]
    sha256 = dataset_sha256(samples)
    dataset_id = f"ds_{sha256[:32]}"
    parts = dict(Counter[str](sample.part for sample in samples))
    counted = {reason: count for reason, count in left_out.items() if count}
    if store.control.datasets.get(dataset_id) is None:
        write_dataset(store.datasets_root / sha256[:32], samples)
        dataset = Dataset(
            dataset_id=dataset_id,
            task=task.task_id,
            path=f"{store.datasets_root.name}/{sha256[:32]}",
            sha256=sha256,
            rows=len(samples),
            parts=parts,
            left_out=counted,
            verdicts=tuple(verdicts[name] for name in sorted(verdicts)),
            form=_form(task, rows),
            since_ns=samples[0].at_ns,
            until_ns=samples[-1].at_ns,
            created_ns=now_ns,
        )
        store.control.datasets.put(dataset)
    first = rows[-1].answers
    return ScoredSet(
        dataset=dataset_id,
        outcomes=write_outcomes(store.data, outcomes, [sample.part for sample in samples]),
        models=outcomes.models,
        upstreams=(
            rows[-1].incumbent.upstream,
            *(first[name].upstream if name in first else "" for name in outcomes.models[1:]),
        ),
        rows=len(rows),
        parts=parts,
        whole=float(np.mean([not row.streamed for row in rows])),
        left_out=counted,
        without=without,
    )


def _sample(row: Shadowed, terms: str, shares: tuple[float, float]) -> Sample:
    return Sample(
        trace_id=row.trace_id,
        at_ns=row.at_ns,
        prompt=row.prompt,
        answer=row.incumbent.text or "",
        part=part_of(row.share, shares),
        terms=terms,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        uniform=True,
    )
