"""Change the policy in force: put a certified rung in, or take one out. One transaction, one event, one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from freehold.config import Settings
from freehold.domain.errors import CertificateError, EvidenceError, NotFound, RightsError
from freehold.domain.events import Event, EventKind
from freehold.domain.evidence import Certificate
from freehold.domain.ids import new_id
from freehold.domain.policy import Policy, Rung
from freehold.domain.tasks import Task
from freehold.store.certificates import seal_checks

if TYPE_CHECKING:
    from freehold.store import Store


def promote(store: Store, settings: Settings, certificate_id: str, now_ns: int) -> Policy:
    """Put a certificate's rung in force for its task, in place of the one there.

    Raises:
        NotFound: no such certificate or task.
        CertificateError: the certificate, or a file it rests on, is not what was signed.
        EvidenceError: it rests on evidence from before the task's last rollback, or is for what cannot be served.
        RightsError: a verdict on the student does not permit its use.
        Conflict: somebody else published a policy meanwhile.
    """
    certificate = store.control.certificates.get(certificate_id)
    task = certificate and store.control.tasks.get(certificate.task)
    if certificate is None or task is None:
        raise NotFound(f"Certificate {certificate_id} or its task is not stored.", "Run `freehold tasks`.")
    _check_seal(store, certificate)
    _check_evidence(store, certificate, task)
    rungs = tuple(_rung(store, certificate, number, task.fingerprints) for number, _ in enumerate(certificate.rungs))
    message = (
        f"{certificate.coverage:.0%} of requests are now answered by {', '.join(rung.student for rung in rungs)}; "
        f"loss at most {certificate.loss_upper:.2%} of {certificate.epsilon:.2%} allowed."
    )
    evidence: dict[str, object] = {
        "certificate": certificate_id,
        "coverage": certificate.coverage,
        "loss_upper": certificate.loss_upper,
        "epsilon": certificate.epsilon,
        "attempt": certificate.attempt,
    }
    rate = audit_rate(settings, task, on_probation=settings.loop.probation_audits > 0)
    return _publish(store, settings, task, rungs, rate, {"state": "owned"}, "promoted", message, evidence, now_ns)


def roll_back(
    store: Store, settings: Settings, task_id: str, reason: str, evidence: dict[str, object], now_ns: int
) -> Policy:
    """Take the task's rung out of force; evidence from before now no longer counts, as the traffic may have changed.

    Raises:
        NotFound: no such task, or it has no rung in force.
        Conflict: somebody else published a policy meanwhile.
    """
    task = store.control.tasks.get(task_id)
    in_force = store.control.current_policy().tasks.get(task_id)
    if task is None or in_force is None or not in_force.rungs:
        raise NotFound(f"Task {task_id} has no student in force.", "`freehold tasks` shows which have.")
    changes = {"state": "rolled_back", "evidence_since_ns": now_ns, "samples_at_look": 0, "rows_at_attempt": 0}
    details = {**evidence, "certificate": in_force.rungs[0].certificate, "student": in_force.rungs[0].student}
    message = f"Back to the incumbent. {reason}"
    rate = audit_rate(settings, task, on_probation=False)
    return _publish(store, settings, task, (), rate, changes, "rolled-back", message, details, now_ns)


def audit_rate(settings: Settings, task: Task, *, on_probation: bool) -> float:
    """The audit rate of a rung of this task; one that is set for the task itself holds always."""
    own = settings.task(task.name, task.task_id).audit_rate
    if own is not None:
        return own
    loop = settings.loop
    return max(loop.audit_rate, loop.probation_audit_rate) if on_probation else loop.audit_rate


def _check_seal(store: Store, certificate: Certificate) -> None:
    """Hashes and signatures only: `freehold certificate verify` also computes everything again."""
    for check in seal_checks(store, certificate):
        if check.passed is False:
            raise CertificateError(check.sentence, check.hint)


def _rung(store: Store, certificate: Certificate, number: int, fingerprints: tuple[str, ...]) -> Rung:
    certified = certificate.rungs[number]
    student = store.control.students.get(certified.name)
    if certified.kind != "student" or certified.routed or student is None:
        raise EvidenceError(
            f"Certificate {certificate.certificate_id} is for {certified.name}, which is no student with a threshold.",
            "Promote a certificate of students with thresholds.",
        )
    for verdict in student.verdicts:
        if not verdict.permits:
            raise RightsError(f"{student.student_id} may not serve: {verdict.reason}", "See `[[counsel]]`.")
    return Rung(
        student=student.student_id,
        path=student.path,
        sha256=student.sha256,
        threshold=certificate.thresholds[number],
        novelty_limit=certified.novelty_limit,
        certificate=certificate.certificate_id,
        fingerprints=fingerprints,
    )


def _check_evidence(store: Store, certificate: Certificate, task: Task) -> None:
    """A job that was under way when its task was rolled back must not bring the old evidence into force again."""
    dataset = store.control.datasets.get(certificate.dataset_id)
    if dataset is None or dataset.since_ns < task.evidence_since_ns:
        raise EvidenceError(
            f"Certificate {certificate.certificate_id} rests on evidence from before {task.name!r} was rolled back.",
            "Let new traffic pass through; the loop trains and certifies on it.",
        )


def _publish(
    store: Store,
    settings: Settings,
    task: Task,
    rungs: tuple[Rung, ...],
    rate: float,
    changes: dict[str, Any],
    kind: EventKind,
    message: str,
    evidence: dict[str, object],
    now_ns: int,
) -> Policy:
    event = Event(event_id=new_id("ev"), at_ns=now_ns, kind=kind, task=task.task_id, message=message, evidence=evidence)
    entry: dict[str, Any] = {"rungs": rungs, "audit_rate": rate}
    if not rungs:  # the incumbent may be another by now: ask it twice again
        entry["repeat_rate"] = settings.loop.repeat_rate
    with store.control.transaction():
        store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, note=message, **changes))
        store.control.add_event(event)
        return store.control.change_task_policy(task.task_id, message, **entry)
