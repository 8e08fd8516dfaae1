"""How good the incumbent's and the candidates' answers to shadowed requests are, by the task's scorer."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from freehold.config import Settings
from freehold.curate.forms import recognise_form
from freehold.curate.samples import fold
from freehold.curate.shadows import Shadowed
from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError, NotFound
from freehold.domain.evidence import Student
from freehold.domain.scoring import Comparison, JudgeScorer, Scorer, scored
from freehold.domain.tasks import AnswerForm, Task
from freehold.scorers import (
    Ask,
    Context,
    check,
    compare,
    compare_async,
    context_of,
    judge_agreement,
    may_certify,
    needs_reference,
    preference,
)
from freehold.store.artifacts import read_dataset, read_student
from freehold.store.traces.read import read_feedback
from freehold.upstreams.student import Classifier, build_classifier

if TYPE_CHECKING:
    from freehold.store import Store

MAX_LOST = 0.1
"""Larger shares of incumbents' answers that cannot be scored, or of a candidate's calls that fail, are no accident."""
AT_ONCE = 4
"""Questions to a judge."""
NOT_SCORED = "the incumbent's answer could not be scored"


class StudentCandidate(NamedTuple):
    """An owned student of closed answers, which answers here, off the hot path, at no cost."""

    name: str
    """As a router knows it."""
    classifier: Classifier
    fitted: frozenset[str]
    """Prompts, folded, of its fit part."""

    def answer(self, prompt: str) -> str:
        """What it says."""
        return self.classifier.answer(prompt).text

    def was_fitted_on(self, prompt: str) -> bool:
        """Whether its answer was given to it."""
        return fold(prompt) in self.fitted


class Scores(NamedTuple):
    """Rows that the incumbent's answer could be scored for, with what every model gave."""

    rows: list[Shadowed]
    names: tuple[str, ...]
    """The candidates, a student first."""
    scores: list[list[float]]
    """Per row, of the incumbent and the candidates, in [0, 1]; above 1 where a judge prefers a candidate's answer."""
    answers: list[list[str | None]]
    """Likewise."""


class _Pair(NamedTuple):
    row: Shadowed
    text: str | None
    people: tuple[float, ...]
    """Scores that people gave the answer."""
    people_of_reference: tuple[float, ...]

    @property
    def context(self) -> Context:
        return context_of(self.row.request, self.people, self.people_of_reference)


def scorer_of(settings: Settings, task: Task) -> Scorer | None:
    """The task's scorer: what is configured goes before what is stored."""
    return settings.task(task.name, task.task_id).scorer or task.scorer


def student_candidate(store: Store, student: Student) -> StudentCandidate:
    """The student, loaded.

    Raises:
        NotFound: the dataset that it was trained on is not stored.
        StudentError, StoreError: files are missing or changed.
    """
    dataset = store.control.datasets.get(student.dataset_id)
    if dataset is None:
        raise NotFound(f"Dataset {student.dataset_id} of student {student.student_id} is not stored.", "Train again.")
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    return StudentCandidate(
        f"student/{student.student_id}",
        build_classifier(*read_student(store.data / student.path, student.sha256)),
        frozenset(fold(sample.prompt) for sample in samples if sample.part == "fit"),
    )


def score_rows(
    store: Store,
    settings: Settings,
    task: Task,
    rows: Sequence[Shadowed],
    candidates: Sequence[str],
    student: StudentCandidate | None,
    ask: Ask | None,
    left_out: Counter[str],
) -> Scores:
    """Score every answer; rows whose incumbent's answer cannot be scored are counted in `left_out`.

    Raises:
        EvidenceError: nothing can score the answers, a judge agrees too little with people, or too many of the
            incumbent's answers cannot be scored.
        ScorerError: the scorer cannot be carried out as it is set, or a judge cannot be asked without `ask`.
        UpstreamError: a judge did not answer.
    """
    scorer = _checked(scorer_of(settings, task), task, rows)
    people = _feedback(store, rows)
    pairs = [pair for row in rows for pair in _pairs(row, candidates, student, people)]
    compared = (
        asyncio.run(_judged(scorer, pairs, ask))
        if isinstance(scorer, JudgeScorer)
        else [_compare(scorer, pair) for pair in pairs]
    )
    width = len(candidates) + (student is not None)
    found = Scores([], (*((student.name,) if student else ()), *candidates), [], [])
    for number, row in enumerate(rows):
        ours = compared[number * width : (number + 1) * width]
        texts = [pair.text for pair in pairs[number * width : (number + 1) * width]]
        reference = ours[0].reference.value
        if reference is None:
            left_out[NOT_SCORED] += 1
            continue
        if isinstance(scorer, JudgeScorer):
            reference = 1.0  # it scores the reference beside each answer anew: only the difference counts
        given = [reference - one.signed for one in ours]
        if student is not None and student.was_fitted_on(row.prompt):
            given[0] = 0.0
        found.rows.append(row)
        found.scores.append([reference, *given])
        found.answers.append([row.incumbent.text, *texts])
    if left_out[NOT_SCORED] > MAX_LOST * len(rows):
        raise EvidenceError(
            f"{left_out[NOT_SCORED]} of {len(rows)} answers of the incumbent cannot be scored.",
            f"`freehold scorer try {task.task_id}` shows why.",
        )
    return found


def form_of(task: Task, rows: Sequence[Shadowed]) -> AnswerForm:
    """What the incumbent's answers look like."""
    found = recognise_form([row.incumbent.text or "" for row in rows])
    return found or task.form or AnswerForm(kind="open", reason="Too few answers to say.")


def _checked(scorer: Scorer | None, task: Task, rows: Sequence[Shadowed]) -> Scorer | None:
    if scorer is not None:
        check(scorer)
    elif form_of(task, rows).kind == "open":
        raise EvidenceError(
            f"The answers of task {task.name!r} are open, and it has no scorer.",
            f"`freehold scorer guess {task.task_id}` suggests one.",
        )
    return scorer


def _pairs(
    row: Shadowed,
    candidates: Sequence[str],
    student: StudentCandidate | None,
    people: Mapping[str, tuple[float, ...]],
) -> list[_Pair]:
    """Each candidate's answer beside the incumbent's."""
    theirs = people.get(row.incumbent.trace_id, ())
    found = [] if student is None else [_Pair(row, student.answer(row.prompt), (), theirs)]
    answers = [row.answers[name] for name in candidates]
    return [*found, *(_Pair(row, answer.text, people.get(answer.trace_id, ()), theirs) for answer in answers)]


def _compare(scorer: Scorer | None, pair: _Pair) -> Comparison:
    reference = pair.row.incumbent.text
    if scorer is None:
        agrees = pair.text is not None and not disagreement(pair.text, reference or "")
        return Comparison(reference=scored(1.0, "The reference."), answer=scored(float(agrees), "The same, or not."))
    found = compare(scorer, pair.text, reference, pair.context)
    if pair.text is None and needs_reference(scorer):  # nothing to score, which says nothing of the reference
        return Comparison(reference=compare(scorer, reference, reference).reference, answer=found.answer)
    return found


async def _judged(scorer: JudgeScorer, pairs: Sequence[_Pair], ask: Ask | None) -> list[Comparison]:
    """What the judge says, provided that it agrees with people where they have scored both answers."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def judge(pair: _Pair) -> Comparison:
        async with slots:
            found = await compare_async(scorer, pair.text, pair.row.incumbent.text, pair.context, ask)
        # A verdict that cannot be read, or an answer without text, is the candidate's loss: the incumbent's stands.
        lost = Comparison(reference=scored(1.0, "The reference."), answer=found.answer)
        return lost if found.reference.value is None else found

    both = [pair for pair in pairs if pair.people and pair.people_of_reference]
    seen = await asyncio.gather(*(judge(pair) for pair in both))
    agreement = judge_agreement(
        [
            (
                preference(one.answer.value, one.reference.value),
                preference(statistics.fmean(pair.people), statistics.fmean(pair.people_of_reference)),
            )
            for pair, one in zip(both, seen, strict=True)
            if one.answer.value is not None and one.reference.value is not None
        ]
    )
    may_certify(agreement, scorer.minimum_agreement, scorer.minimum_pairs)
    return list(await asyncio.gather(*(judge(pair) for pair in pairs)))


def _feedback(store: Store, rows: Sequence[Shadowed]) -> dict[str, tuple[float, ...]]:
    ids = {answer.trace_id for row in rows for answer in (row.incumbent, *row.answers.values())}
    found: dict[str, tuple[float, ...]] = {}
    frame = read_feedback(store, trace_ids=sorted(ids)).select("trace_id", "score").drop_nulls()
    for trace_id, value in frame.iter_rows():
        found[trace_id] = (*found.get(trace_id, ()), value)
    return found
