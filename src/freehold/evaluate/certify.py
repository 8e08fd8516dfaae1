"""The one look at the certify part: its evidence is gathered, walked, stored, and what it shows is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from freehold import __version__
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import (
    CERTIFICATE_VERSION,
    SHARED,
    Certificate,
    CertifiedRung,
    Dataset,
    Evidence,
    LossName,
    Sample,
    Student,
    WalkStep,
    signed_bytes,
)
from freehold.domain.ids import content_id
from freehold.domain.scoring import Scorer
from freehold.domain.tasks import Task
from freehold.evaluate.conclude import Conclusion, conclude
from freehold.evaluate.losses import check_scorer, described, loss_of, loss_terms
from freehold.evaluate.outlook import NEVER, Outlook, evidence_of
from freehold.serving.answering import answers_of
from freehold.store.artifacts import dataset_file_sha256, read_dataset
from freehold.store.evidence import EvidenceRows, evidence_folder, write_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freehold.store import Store

SAME_TRAFFIC = (
    "Requests to come are drawn like those of the evidence; audits watch for change, and strangers are turned away."
)
MEANING: dict[LossName, str] = {
    "disagreement": "The loss is disagreement with the incumbent: its mistakes are not counted against the student, "
    "nor forgiven it.",
    "harm": "The loss is how much lower the scorer rates an answer than the incumbent's: gains are not counted, and "
    "what cannot be scored counts as lost.",
    "signed": "The loss is how much lower the scorer rates an answer than the incumbent's: gains offset losses.",
}
FAIR_ROWS = "Certify rows were drawn from all of the task's traffic with one probability, and chose nothing."


class Attempt(msgspec.Struct, frozen=True):
    """What an attempt gave."""

    number: int
    certificate: str | None
    tested: tuple[WalkStep, ...]
    reason: str


def begin_attempt(store: Store, view: Outlook) -> int:
    """Count an attempt before its data are looked at, so that a crash can never buy a second look at one price.

    Raises:
        EvidenceError: the task is gone, or its scorer cannot score what a student answers.
        ScorerError: its scorer's options are wrong.
    """
    known = store.control.tasks.get(view.task)
    check_scorer(known.scorer if known else None)
    return count_attempt(store, view.task, rows_at_attempt=view.certify_rows)


def count_attempt(store: Store, task_id: str, **seen: int) -> int:
    """Count an attempt of a task, whatever it tries to certify, and keep how many rows it had; its number.

    Raises:
        EvidenceError: the task is gone.
    """
    task = store.control.tasks.change(
        task_id, lambda task: msgspec.structs.replace(task, attempts=task.attempts + 1, **seen)
    )
    if task is None:
        raise EvidenceError(f"There is no task {task_id} to certify.", "`freehold tasks` lists them.")
    return task.attempts


def certify(store: Store, view: Outlook, attempt: int, now_ns: int) -> Attempt:
    """Test the outlook's thresholds on the certify part and issue a certificate for the laxest that holds.

    Repeating the same attempt gives the same result: the data, the student and the thresholds are fixed.

    Raises:
        NotFound, StudentError, StoreError: the student or its dataset is missing or changed.
    """
    student, dataset, task = evidence_of(store, view.student)
    samples = certify_samples(read_dataset(store.data / dataset.path, dataset.sha256))
    if not samples or not view.thresholds:
        return Attempt(attempt, None, (), f"{len(samples)} certify rows and {len(view.thresholds)} thresholds to test.")
    signals, losses = answered(store, student, samples, view.novelty_limit, task.scorer)
    path = tuple((threshold,) for threshold in view.thresholds)
    rows = EvidenceRows(
        ids=[sample.trace_id for sample in samples],
        weights=np.ones(len(samples)),
        losses=losses[:, None],
        choices=choices(signals[:, None], path),
        signals=signals[:, None],
    )
    return issue(store, _evidence(store, student, dataset, task, view, path, attempt), rows, now_ns)


def issue(store: Store, evidence: Evidence, rows: EvidenceRows, now_ns: int) -> Attempt:
    """Walk the evidence; store it, and a signed certificate, if a step holds.

    A router's manifest holds the step it serves at, and its hash is part of the evidence: find the step by `conclude`,
    which looks at no hash, store the router, and then issue.

    Raises:
        EvidenceError: the evidence cannot be tested: see `conclude`.
        StoreError: it or the certificate cannot be stored.
    """
    conclusion = conclude(evidence, rows)
    if conclusion.figures is None:
        return Attempt(evidence.attempt, None, conclusion.tested, _why_not(evidence, conclusion))
    certificate_id = _certificate_id(evidence)
    if store.control.certificates.get(certificate_id) is None:
        sha256 = write_evidence(store.evidence_root, evidence, rows)
        certificate = _signed(store, evidence, sha256, conclusion, len(rows.ids), now_ns)
        store.control.certificates.put(certificate)
    return Attempt(evidence.attempt, certificate_id, conclusion.tested, "")


def certify_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Those that may certify, in order: of the certify part, and drawn from all traffic with one probability."""
    return [sample for sample in samples if sample.part == "certify" and sample.uniform]


def answered(
    store: Store, student: Student, samples: Sequence[Sample], novelty_limit: float, scorer: Scorer | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A student's signals (`NEVER` for what is novel) and losses on samples, each (n,).

    Raises:
        StudentError: its files are missing or changed.
        ScorerError: the scorer cannot be carried out.
    """
    answers = answers_of(store.data, student, [sample.prompt for sample in samples])
    signals = [answer.signal if answer.novelty <= novelty_limit else NEVER for answer in answers]
    losses = [loss_of(scorer, answer.text, sample) for answer, sample in zip(answers, samples, strict=True)]
    return np.array(signals, np.float64), np.array(losses, np.float64)


def choices(signals: NDArray[np.float64], path: Sequence[tuple[float, ...]]) -> NDArray[np.int8]:
    """Which rung answers each row at each step: the first whose signal reaches its threshold, else −1.

    `signals`, (n, R), R thresholds in each step of the path; gives (n, S).
    """
    chosen = np.full((len(signals), len(path)), -1, np.int8)
    for step, thresholds in enumerate(path):
        taken = signals >= np.array(thresholds)
        chosen[:, step] = np.where(taken.any(1), taken.argmax(1), -1)
    return chosen


def _evidence(
    store: Store,
    student: Student,
    dataset: Dataset,
    task: Task,
    view: Outlook,
    path: tuple[tuple[float, ...], ...],
    attempt: int,
) -> Evidence:
    rung = CertifiedRung(
        kind="student",
        name=student.student_id,
        sha256=student.sha256,
        record_sha256=store.control.students.digest(student.student_id),
        signal=student.student_id,
        signal_path=student.path,
        signal_sha256=student.sha256,
        novelty_limit=view.novelty_limit,
    )
    loss, test = loss_terms(task.scorer)
    return Evidence(
        task=task.task_id,
        dataset_id=dataset.dataset_id,
        dataset_sha256=dataset.sha256,
        dataset_file_sha256=dataset_file_sha256(store.data / dataset.path),
        dataset_record_sha256=store.control.datasets.digest(dataset.dataset_id),
        rungs=(rung,),
        path=path,
        loss=loss,
        scorer=described(task.scorer),
        risk="served",
        test=test,
        epsilon=task.epsilon,
        delta=task.delta,
        attempt=attempt,
        self_disagreement=view.floor,
        assumptions=(SAME_TRAFFIC, MEANING[loss], FAIR_ROWS),
    )


def _why_not(evidence: Evidence, conclusion: Conclusion) -> str:
    first, level = conclusion.tested[0], conclusion.delta_spent
    if first.p_value <= level:
        return "Nothing was accepted at any threshold that holds."
    if evidence.loss == "disagreement":
        seen = f"{first.loss_sum:.0f} of {first.accepted} answers differ from the incumbent's"
    else:
        seen = f"A loss of {first.loss_sum:.4g} in all on {first.accepted} answers"
    return f"{seen}: p = {first.p_value:.3g}, more than the {level:.3g} this attempt may spend."


def _certificate_id(evidence: Evidence) -> str:
    """The same for the same attempt with the same rungs on the same dataset."""
    rungs = [part.encode() for rung in evidence.rungs for part in (rung.name, rung.sha256, rung.signal_sha256)]
    return content_id("ce", *rungs, evidence.dataset_sha256.encode(), str(evidence.attempt).encode(),
                      evidence.task.encode())  # fmt: skip


def _signed(
    store: Store, evidence: Evidence, evidence_sha256: str, conclusion: Conclusion, rows: int, now_ns: int
) -> Certificate:
    assert conclusion.figures is not None
    shared = {name: getattr(evidence, name) for name in SHARED}
    unsigned = Certificate(
        certificate_id=_certificate_id(evidence),
        version=CERTIFICATE_VERSION,
        evidence_path=evidence_folder(store.evidence_root, evidence_sha256).relative_to(store.data).as_posix(),
        evidence_sha256=evidence_sha256,
        delta_spent=conclusion.delta_spent,
        certify_rows=rows,
        tested=conclusion.tested,
        software=f"freehold {__version__}",
        issued_ns=now_ns,
        public_key=store.keys.public_key(),
        **shared,
        **conclusion.figures._asdict(),
    )
    return msgspec.structs.replace(unsigned, signature=store.keys.sign(signed_bytes(unsigned)))
