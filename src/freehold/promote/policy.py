"""Change the policy in force: put a certified rung in, or take one out. One transaction, one event, one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from freehold.config import Settings
from freehold.domain.errors import CertificateError, EvidenceError, NotFound, RightsError
from freehold.domain.events import Event, EventKind
from freehold.domain.evidence import Certificate
from freehold.domain.ids import new_id
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.domain.tasks import Task
from freehold.promote.ladder import ladder_of
from freehold.promote.rights import certified_rights, objection
from freehold.promote.rollout import WILL_BE, first_stage
from freehold.rights.words import in_words
from freehold.store.certificates import seal_checks
from freehold.store.recalls import check_not_recalled

if TYPE_CHECKING:
    from freehold.store import Store


def promote(store: Store, settings: Settings, certificate_id: str, now_ns: int) -> Policy:
    """Put a certificate's rung or ladder in force for its task, in place of what is there.

    Raises:
        NotFound: no such certificate or task.
        CertificateError: the certificate, or a file it rests on, is not what was signed.
        EvidenceError: it rests on evidence from before the task's last rollback, or is for what cannot be served.
        RightsError: it may not be served, by its lineage and what is known today, or what it rests on was recalled.
        RightsPending: it may not be served before a duty is fulfilled, or counsel has decided.
        Conflict: somebody else published a policy meanwhile.
    """
    certificate = store.control.certificates.get(certificate_id)
    task = certificate and store.control.tasks.get(certificate.task)
    if certificate is None or task is None:
        raise NotFound(f"Certificate {certificate_id} or its task is not stored.", "Run `freehold tasks`.")
    _check_seal(store, certificate)
    _check_evidence(store, certificate, task)
    _check_recalls(store, certificate)
    _check_rights(store, settings, certificate)
    served: dict[str, Any] = {"rungs": (), "ladder": None}
    if certificate.rungs[0].routed:
        served["ladder"] = ladder_of(store, settings, certificate, task.fingerprints)
    else:
        served["rungs"] = tuple(
            _rung(store, settings, certificate, number, task) for number, _ in enumerate(certificate.rungs)
        )
    names = ", ".join(rung.name for rung in certificate.rungs)
    stage = served["rungs"][0].stage if served["rungs"] else "full"
    message = (
        f"{certificate.coverage:.0%} of requests {WILL_BE[stage]} {names}; "
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
    served["audit_rate"] = rate
    return _publish(store, task, served, {"state": "owned"}, "promoted", message, evidence, now_ns)


def roll_back(
    store: Store,
    settings: Settings,
    task_id: str,
    reason: str,
    evidence: dict[str, object],
    now_ns: int,
    *,
    same_traffic: bool = False,
) -> Policy:
    """Take the task's rung or ladder out of force.

    Evidence from before now no longer counts, as the traffic may have changed; unless `same_traffic` says it has not.

    Raises:
        NotFound: no such task, or it has no rung in force.
        Conflict: somebody else published a policy meanwhile.
    """
    task = store.control.tasks.get(task_id)
    in_force = store.control.current_policy().tasks.get(task_id)
    if task is None or in_force is None or not (in_force.rungs or in_force.ladder):
        raise NotFound(f"Task {task_id} has no student in force, and no ladder.", "`freehold tasks` shows which have.")
    details = {**evidence, **_what(in_force)}
    message = f"Back to the incumbent. {reason}"
    # The incumbent may be another by now: ask it twice again.
    served = {
        "rungs": (),
        "ladder": None,
        "audit_rate": audit_rate(settings, task, on_probation=False),
        "repeat_rate": settings.loop.repeat_rate,
    }
    changes = {
        "state": "rolled_back",
        "evidence_since_ns": task.evidence_since_ns if same_traffic else now_ns,
        "samples_at_look": 0,
        "rows_at_attempt": 0,
        "shadows_at_look": 0,
        "shadow_rows_at_attempt": 0,
    }
    return _publish(store, task, served, changes, "rolled-back", message, details, now_ns)


def _what(entry: TaskPolicy) -> dict[str, object]:
    """What is in force for a task."""
    if entry.ladder is not None:
        return {"certificate": entry.ladder.certificate, "ladder": [model.name for model in entry.ladder.models]}
    return {"certificate": entry.rungs[0].certificate, "student": entry.rungs[0].student}


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


def _rung(store: Store, settings: Settings, certificate: Certificate, number: int, task: Task) -> Rung:
    certified = certificate.rungs[number]
    student = store.control.students.get(certified.name)
    if certified.kind != "student" or certified.routed or student is None:
        raise EvidenceError(
            f"Certificate {certificate.certificate_id} is for {certified.name}, which is no student with a threshold.",
            "Promote a certificate of students with thresholds.",
        )
    return Rung(
        student=student.student_id,
        path=student.path,
        sha256=student.sha256,
        threshold=certificate.thresholds[number],
        novelty_limit=certified.novelty_limit,
        certificate=certificate.certificate_id,
        fingerprints=task.fingerprints,
        kind=student.kind,
        **first_stage(settings, student.kind),
    )


def _check_evidence(store: Store, certificate: Certificate, task: Task) -> None:
    """A job that was under way when its task was rolled back must not bring the old evidence into force again."""
    dataset = store.control.datasets.get(certificate.dataset_id)
    if dataset is None or dataset.since_ns < task.evidence_since_ns:
        raise EvidenceError(
            f"Certificate {certificate.certificate_id} rests on evidence from before {task.name!r} was rolled back.",
            "Let new traffic pass through; the loop trains and certifies on it.",
        )


def _check_recalls(store: Store, certificate: Certificate) -> None:
    check_not_recalled(store, "dataset", certificate.dataset_id)
    for rung in certificate.rungs:
        if rung.kind == "student":
            check_not_recalled(store, "student", rung.name)


def _check_rights(store: Store, settings: Settings, certificate: Certificate) -> None:
    """How students were trained, as it was judged then, and how they would serve, as it is judged today."""
    for rung in certificate.rungs:
        student = store.control.students.get(rung.name) if rung.kind == "student" else None
        for verdict in student.verdicts if student is not None else ():
            if verdict.outcome == "deny":
                raise RightsError(f"{rung.name} was trained although {in_words(verdict)}", "Train another student.")
    for rights in certified_rights(store, settings, certificate.certificate_id):
        if error := objection(rights):
            raise error


def _publish(
    store: Store,
    task: Task,
    served: dict[str, Any],
    changes: dict[str, Any],
    kind: EventKind,
    message: str,
    evidence: dict[str, object],
    now_ns: int,
) -> Policy:
    """`served`: fields of the task's policy; `changes`: of the task."""
    event = Event(event_id=new_id("ev"), at_ns=now_ns, kind=kind, task=task.task_id, message=message, evidence=evidence)
    with store.control.transaction():
        store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, note=message, **changes))
        store.control.add_event(event)
        return store.control.change_task_policy(task.task_id, message, **served)
