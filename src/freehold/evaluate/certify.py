"""The one look at the certify part: a fixed-sequence test at the attempt's share of δ, and a signed certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Certificate, Dataset, Sample, Student, signed_bytes
from freehold.domain.ids import content_id
from freehold.domain.tasks import Task
from freehold.evaluate.outlook import NEVER, Outlook, evidence_of
from freehold.stats import FixedSequenceResult, clopper_pearson_upper, fixed_sequence_test, spent_delta
from freehold.store.artifacts import read_dataset, read_student
from freehold.upstreams.student import build_classifier

if TYPE_CHECKING:
    from freehold.store import Store

ASSUMPTIONS = (
    "Requests to come are drawn like those of the evidence; audits watch for change, and strangers are turned away.",
    "The loss is disagreement with the incumbent: its mistakes are not counted against the student, nor forgiven it.",
    "Certify rows were drawn from all of the task's traffic with one probability, and chose nothing.",
)


class Attempt(msgspec.Struct, frozen=True):
    """What an attempt gave."""

    number: int
    certificate: str | None
    tested: tuple[tuple[float, int, int, float], ...]
    reason: str


def begin_attempt(store: Store, view: Outlook) -> int:
    """Count an attempt before its data are looked at, so that a crash can never buy a second look at one price.

    Raises:
        EvidenceError: the task is gone.
    """
    task = store.control.tasks.change(
        view.task,
        lambda task: msgspec.structs.replace(task, attempts=task.attempts + 1, rows_at_attempt=view.certify_rows),
    )
    if task is None:
        raise EvidenceError(f"There is no task {view.task} to certify.", "`freehold tasks` lists them.")
    return task.attempts


def certify(store: Store, view: Outlook, attempt: int, now_ns: int) -> Attempt:
    """Test the outlook's thresholds on the certify part and issue a certificate for the laxest that holds.

    Repeating the same attempt gives the same result: the data, the student and the thresholds are fixed.

    Raises:
        NotFound, StudentError, StoreError: the student or its dataset is missing or changed.
    """
    student, dataset, task = evidence_of(store, view.student)
    rows = [
        sample
        for sample in read_dataset(store.data / dataset.path, dataset.sha256)
        if sample.part == "certify" and sample.uniform
    ]
    if not rows or not view.thresholds:
        return Attempt(attempt, None, (), f"{len(rows)} certify rows and {len(view.thresholds)} thresholds to test.")
    signals, losses = _answers(store, student, rows, view.novelty_limit)
    delta = spent_delta(task.delta, attempt)
    result = fixed_sequence_test(signals, losses, view.thresholds, task.epsilon, delta)
    tested = tuple((step.threshold, step.accepted, round(step.loss_sum), step.p_value) for step in result.tested)
    if result.certified is None:
        first = result.tested[0]
        return Attempt(
            attempt,
            None,
            tested,
            f"{first.loss_sum:.0f} of {first.accepted} answers differ from the incumbent's: p = {first.p_value:.3g}, "
            f"more than the {delta:.3g} this attempt may spend.",
        )
    certificate = _issue(store, student, dataset, task, view, result, attempt, len(rows), now_ns)
    return Attempt(attempt, certificate.certificate_id, tested, "")


def _answers(
    store: Store, student: Student, rows: list[Sample], novelty_limit: float
) -> tuple[list[float], list[float]]:
    classifier = build_classifier(*read_student(store.data / student.path, student.sha256))
    answers = [classifier.answer(row.prompt) for row in rows]
    signals = [answer.signal if answer.novelty <= novelty_limit else NEVER for answer in answers]
    return signals, [disagreement(answer.text, row.answer) for answer, row in zip(answers, rows, strict=True)]


def _issue(
    store: Store,
    student: Student,
    dataset: Dataset,
    task: Task,
    view: Outlook,
    result: FixedSequenceResult,
    attempt: int,
    rows: int,
    now_ns: int,
) -> Certificate:
    step = result.certified
    assert step is not None
    errors, coverage = round(step.loss_sum), step.accepted / rows
    upper = clopper_pearson_upper(errors, step.accepted, result.delta)
    unsigned = Certificate(
        certificate_id=content_id(
            "ce", student.sha256.encode(), dataset.sha256.encode(), str(attempt).encode(), task.task_id.encode()
        ),
        task=task.task_id,
        student=student.student_id,
        student_sha256=student.sha256,
        dataset_id=dataset.dataset_id,
        dataset_sha256=dataset.sha256,
        threshold=step.threshold,
        novelty_limit=view.novelty_limit,
        loss="disagreement",
        risk="per served request",
        epsilon=task.epsilon,
        delta=task.delta,
        attempt=attempt,
        delta_spent=result.delta,
        certify_rows=rows,
        accepted=step.accepted,
        errors=errors,
        p_value=step.p_value,
        loss_estimate=errors / step.accepted,
        loss_upper=upper,
        coverage=coverage,
        traffic_loss_upper=clopper_pearson_upper(errors, rows, result.delta),
        self_disagreement=view.floor,
        tested=tuple((t.threshold, t.accepted, round(t.loss_sum), t.p_value) for t in result.tested),
        assumptions=ASSUMPTIONS,
        issued_ns=now_ns,
        public_key=store.keys.public_key(),
    )
    certificate = msgspec.structs.replace(unsigned, signature=store.keys.sign(signed_bytes(unsigned)))
    known = store.control.certificates.get(certificate.certificate_id)
    if known is not None:
        return known
    store.control.certificates.put(certificate)
    return certificate
