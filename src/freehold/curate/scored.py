"""Shadowed requests in, a task's dataset of scored outcomes out: what a ladder of models is fitted and certified on.

The incumbent's answer is the reference: beside scorers that compare it scores 1, others score it by itself. What a
candidate answers and nothing can score counts as 0, and so does what a student answers to a certify row that it was
fitted on. A row is left out only by what does not depend on a candidate's answer, or where a candidate was not heard.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.config import Settings
from freehold.curate.answers import answer_rights
from freehold.curate.outcome_store import OutcomeFile, write_outcomes
from freehold.curate.scoring import MAX_LOST, Scores, StudentCandidate, form_of, score_rows, student_candidate
from freehold.curate.shadows import PARTS, PARTS_WITH_STUDENT, Answer, Shadowed, collect_shadows, part_of
from freehold.domain.chat import calls_so_far
from freehold.domain.errors import EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Dataset, Sample, Student, Verdict
from freehold.domain.tasks import Task
from freehold.rights.words import in_words, what_to_do
from freehold.scorers import Ask
from freehold.scorers.validity import has_form
from freehold.signals.outcomes import Hints, Outcomes, hints_of
from freehold.store.artifacts import dataset_sha256, write_dataset

if TYPE_CHECKING:
    from freehold.store import Store

ENOUGH_ANSWERS = 0.5
"""A candidate with fewer answers than this share of the most that any has is not compared yet."""
_NANO = 1e9


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


def build_scored(
    store: Store, settings: Settings, task_id: str, student: Student | None, now_ns: int, ask: Ask | None = None
) -> ScoredSet:
    """Curate and score the task's shadowed requests; the same traces give the same dataset.

    Args:
        store, settings: where the data are, and how the loop works.
        task_id: whose.
        student: one that the organisation owns, to be a candidate as well.
        now_ns: the time verdicts are given for.
        ask: asks a judge's model; None: no judge can be asked.

    Raises:
        NotFound: no such task.
        RightsError: the incumbent's answers may not be used for training.
        EvidenceError: too few requests, no candidate left, no price of the incumbent, or answers that nothing scores.
        ScorerError: the scorer cannot be carried out as it is set.
        UpstreamError: a judge did not answer.
    """
    task = store.control.tasks.get(task_id)
    if task is None:
        raise NotFound(f"There is no task {task_id}.", "`freehold tasks` lists them.")
    ours = settings.candidates
    today = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC).date()
    rights = answer_rights(store, settings, task_id, today)
    rows, left_out = collect_shadows(store, task, settings.loop.max_samples, rights, logprobs=ours.logprobs)
    own = None if student is None else student_candidate(store, student)
    shares = PARTS if own is None else PARTS_WITH_STUDENT
    rows = rows if own is None else _for_student(rows, own, left_out)
    verdicts = rights.by_terms
    rows = _permitted(rows, verdicts, left_out)
    candidates, without = _candidates(settings, rows, verdicts)
    complete = [row for row in rows if all(name in row.answers for name in candidates)]
    left_out["a candidate gave no answer"] += len(rows) - len(complete)
    _check_rows(task, complete, candidates, own, without)
    scored = score_rows(store, settings, task, complete, candidates, own, ask, left_out)
    outcomes = Outcomes(
        prompt_ids=[row.trace_id for row in scored.rows],
        prompts=[row.prompt for row in scored.rows],
        tasks=[task.task_id] * len(scored.rows),
        models=(scored.rows[-1].request.model, *scored.names),
        scores=np.array(scored.scores, np.float64),
        costs=_costs(settings, scored.rows, candidates, own),
        answers=tuple(list(given) for given in zip(*scored.answers, strict=True)),
        owned=(False, *(name not in candidates for name in scored.names)),
        hints=_hints(scored, ours.samples),
    )
    return _stored(store, task, outcomes, scored.rows, verdicts, left_out, without, shares, now_ns)


def _hints(scored: Scores, samples: int) -> Hints:
    """What is known of the scored answers besides their texts; of the incumbent's nothing is looked at."""
    shape = (len(scored.rows), 1 + len(scored.names))
    logprobs, validity = np.full(shape, np.nan), np.full(shape, np.nan)
    again: list[list[tuple[str, ...]]] = [[()] * len(scored.rows) for _ in range(shape[1])]
    for number, (row, texts) in enumerate(zip(scored.rows, scored.answers, strict=True)):
        for model, name in enumerate(scored.names, 1):
            valid = has_form(row.request, texts[model] or "")
            validity[number, model] = np.nan if valid is None else float(valid)
            if name in row.answers:
                answer = row.answers[name]
                logprobs[number, model] = np.nan if answer.logprob is None else answer.logprob
                again[model][number] = answer.again
    answers = [list(given) for given in zip(*scored.answers, strict=True)]
    calls = np.array([calls_so_far(row.request) for row in scored.rows], np.intp)
    return hints_of(answers, again, logprobs, validity, calls, samples)


def _for_student(rows: list[Shadowed], own: StudentCandidate, left_out: Counter[str]) -> list[Shadowed]:
    """Rows that a student may answer, without those to fit and tune on that would flatter it."""
    fitting = [row for row in rows if row.for_student]
    left_out["not for a student"] += len(rows) - len(fitting)
    kept = [
        row
        for row in fitting
        if part_of(row.share, PARTS_WITH_STUDENT) == "certify" or not own.was_fitted_on(row.prompt)
    ]
    left_out["the student was fitted on it"] += len(fitting) - len(kept)
    return kept


def _costs(
    settings: Settings, rows: Sequence[Shadowed], candidates: Sequence[str], own: StudentCandidate | None
) -> NDArray[np.float64]:
    """Dollars of each model's answer, (n, m)."""
    nano = [
        [row.incumbent.nano, *((0,) if own else ()), *(_nano(settings, row.answers[name]) for name in candidates)]
        for row in rows
    ]
    return np.array(nano, np.float64) / _NANO


def _permitted(rows: list[Shadowed], verdicts: Mapping[str, Verdict], left_out: Counter[str]) -> list[Shadowed]:
    """Rows whose incumbent's answer may be used."""
    kept: list[Shadowed] = []
    for row in rows:
        verdict = verdicts[row.incumbent.terms]
        if verdict.permits:
            kept.append(row)
        else:
            left_out[f"rights: {verdict.outcome} ({verdict.subject})"] += 1
    if rows and not kept:
        denied = verdicts[rows[-1].incumbent.terms]
        raise RightsError(f"No router may be fitted to the incumbent's answers: {in_words(denied)}", what_to_do(denied))
    return kept


def _candidates(
    settings: Settings, rows: Sequence[Shadowed], verdicts: Mapping[str, Verdict]
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
        verdict = verdicts[given[-1].terms] if given else None
        known = [price for price in prices if price is not None]
        if failures > MAX_LOST * (failures + len(given)):
            without[name] = f"{failures} of {failures + len(given)} calls to it failed"
        elif len(given) < ENOUGH_ANSWERS * most:
            without[name] = f"only {len(given)} answers yet, of {most}"
        elif verdict is not None and not verdict.permits:
            without[name] = in_words(verdict)
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
    task: Task,
    rows: Sequence[Shadowed],
    candidates: Sequence[str],
    student: StudentCandidate | None,
    without: dict[str, str],
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


def _stored(
    store: Store,
    task: Task,
    outcomes: Outcomes,
    rows: list[Shadowed],
    verdicts: Mapping[str, Verdict],
    left_out: Counter[str],
    without: dict[str, str],
    shares: tuple[float, float],
    now_ns: int,
) -> ScoredSet:
    samples = [_sample(row, shares) for row in rows]
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
            form=form_of(task, rows),
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


def _sample(row: Shadowed, shares: tuple[float, float]) -> Sample:
    return Sample(
        trace_id=row.trace_id,
        at_ns=row.at_ns,
        prompt=row.prompt,
        answer=row.incumbent.text or "",
        part=part_of(row.share, shares),
        terms=row.incumbent.terms,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        uniform=True,
    )
