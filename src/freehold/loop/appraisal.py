"""Before a generative student may be certified: how it compares, and whether it kept the incumbent's guards.

Both are kept as evaluations, for people. Only the safety check can hold the student back; neither lets one pass. All of
it rests on tune rows and on recorded refusals: no certify row is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from freehold.curate.pii import SECRETS, Span, find
from freehold.curate.poisoning.canaries import is_canary
from freehold.domain.evaluations import Costs, SafetyReport
from freehold.domain.evidence import Sample, Student
from freehold.evaluate.comparison import Said, compare, is_exact, recorded_of, rows_of, worst
from freehold.evaluate.outlook import Outlook, evidence_of
from freehold.evaluate.reports import keep_report
from freehold.evaluate.safety import Asked, Overlaps, SafetyEvidence, check_safety, read_probes, recorded_exchanges
from freehold.serving import StudentAnswer
from freehold.serving.answering import answers_of
from freehold.store.artifacts import read_dataset, read_student

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.store import Store


def appraise(store: Store, settings: Settings, view: Outlook, now_ns: int) -> SafetyReport:
    """Compare the student of an outlook with the incumbent and the student in force, check its safety, and keep both.

    Raises:
        NotFound: the student, its dataset or its task is gone.
        ConfigError: the file of probes cannot be read.
        StudentError, StoreError: files are missing or changed, or cannot be written.
        ScorerError: the task's scorer cannot be carried out.
    """
    student, dataset, task = evidence_of(store, view.student)
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    tuned = [sample for sample in samples if sample.part == "tune"]
    answers = _tune_answers(store, student)
    candidate = [Said(answer.text, taken=_taken(view, answer)) for answer in answers]
    if tuned:
        _compare(store, student, tuned, candidate, now_ns)
    asked = [
        Asked(sample.prompt, sample.answer, False, said.text, said.taken, sample.trace_id)
        for sample, said in zip(tuned, candidate, strict=True)
    ]
    refused, planted = _questions(store, settings, view, student, samples)
    report, examples = check_safety(
        SafetyEvidence(
            asked=[*asked, *refused],
            planted=planted,
            overlaps=Overlaps(
                [(row.prompt, row.answer) for row in samples if row.part == "fit" and not is_canary(row)]
            ),
            secrets=_secrets,
        ),
        settings.students.safety,
    )
    keep_report(
        store, report, examples, task=task.task_id, student=view.student, dataset_id=dataset.dataset_id, now_ns=now_ns
    )
    return report


def _secrets(text: str) -> list[Span]:
    return find(text, SECRETS)


def _taken(view: Outlook, answer: StudentAnswer) -> bool:
    """Whether the answer would be given at the laxest threshold that is to be tested."""
    lax = view.thresholds[-1] if view.thresholds else 1.0
    return answer.novelty <= view.novelty_limit and answer.signal >= lax


def _tune_answers(store: Store, student: Student) -> list[StudentAnswer]:
    """What it answered when it was trained."""
    _, tensors = read_student(store.data / student.path, student.sha256)
    texts = msgspec.json.decode(tensors["tune_answers"].tobytes(), type=list[str])
    figures = zip(texts, tensors["tune_signals"].tolist(), tensors["tune_novelty"].tolist(), strict=True)
    return [StudentAnswer(*one) for one in figures]


def _compare(store: Store, student: Student, tuned: Sequence[Sample], candidate: Sequence[Said], now_ns: int) -> None:
    task = store.control.tasks.get(student.task)
    scorer = task.scorer if task is not None else None
    entry = store.control.current_policy().tasks.get(student.task)
    rung = entry.rungs[0] if entry is not None and entry.rungs else None
    before = store.control.students.get(rung.student) if rung is not None else None
    in_force = None
    if before is not None and rung is not None:
        given = answers_of(store.data, before, [sample.prompt for sample in tuned])
        in_force = [
            Said(one.text, taken=one.novelty <= rung.novelty_limit and one.signal >= rung.threshold) for one in given
        ]
    known = recorded_of(store, student.task, tuned)
    rows = rows_of(tuned, scorer, candidate, in_force, known.keys)
    costs = Costs(
        incumbent_dollars=known.incumbent_dollars,
        incumbent_ms=known.incumbent_ms,
        candidate_cpu_seconds=student.metrics.get("cpu_seconds_per_answer"),
        in_force_cpu_seconds=before.metrics.get("cpu_seconds_per_answer") if before is not None else None,
    )
    name = before.student_id if before is not None else ""
    compared = compare(rows, exact=is_exact(scorer), in_force=name, costs=costs)
    keep_report(
        store,
        compared,
        worst(rows),
        task=student.task,
        student=student.student_id,
        dataset_id=student.dataset_id,
        now_ns=now_ns,
    )


def _questions(
    store: Store, settings: Settings, view: Outlook, student: Student, samples: Sequence[Sample]
) -> tuple[list[Asked], list[tuple[str, str]]]:
    """Requests that must stay refusals (recorded ones, and those of the file of probes), and of each canary the planted
    answer and the student's. All are asked at once: to load a student takes longer than to ask it."""
    certify = {sample.trace_id for sample in samples if sample.part == "certify"}
    probes = recorded_exchanges(store, student.task, leave_out=certify)
    if settings.students.safety.probes:
        probes += read_probes(Path(settings.students.safety.probes))
    planted = [sample for sample in samples if is_canary(sample)]
    prompts = [probe.prompt for probe in probes] + [sample.prompt for sample in planted]
    answers = answers_of(store.data, student, prompts) if prompts else []
    refused = [
        Asked(probe.prompt, probe.incumbent, probe.refused, answer.text, _taken(view, answer), probe.trace_id)
        for probe, answer in zip(probes, answers[: len(probes)], strict=True)
    ]
    given = answers[len(probes) :]
    return refused, [(sample.answer, answer.text) for sample, answer in zip(planted, given, strict=True)]
