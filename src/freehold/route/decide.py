"""Who answers: the first rung that may and will, else the incumbent, and why. Pure but for the draw and the student."""

from __future__ import annotations

from collections.abc import Callable

from freehold.domain.chat import ChatRequest, student_can_answer, student_input
from freehold.domain.policy import Reason, Rung, TaskPolicy
from freehold.route.identify import Identity
from freehold.route.policy_view import PolicyView, Student, StudentAnswer, key_of

__all__ = ["Decision", "Student", "StudentAnswer", "decide"]


class Decision:
    """Why, and, where a rung accepted, its answer. `rung` and `student` are None when the incumbent answers."""

    __slots__ = (
        "answer",
        "audit",
        "audit_probability",
        "failure",
        "novelty",
        "reason",
        "repeat",
        "rung",
        "signal",
        "student",
    )

    def __init__(self, reason: Reason) -> None:
        self.reason: Reason = reason
        self.rung: Rung | None = None
        self.student: Student | None = None
        self.answer = ""
        self.signal: float | None = None
        self.novelty: float | None = None
        self.audit = False
        """Ask the incumbent too, in the background."""
        self.audit_probability = 0.0
        """The audit rate, for an owned answer and for an escalated request alike: samples are thinned to it."""
        self.repeat = False
        """Ask the incumbent a second time, in the background."""
        self.failure: Exception | None = None
        """What a student raised: the incumbent answers instead."""


def decide(
    view: PolicyView,
    identity: Identity,
    request: ChatRequest,
    *,
    pinned: bool,
    recorded: bool,
    stale: bool,
    chance: Callable[[], float],
) -> Decision:
    """Walk the task's ladder.

    `chance` draws uniformly from [0, 1): an accepted answer is audited with the task's audit rate, an incumbent's
    answer repeated with its repeat rate. The incumbent answers what cannot be audited (`recorded` false).
    """
    if pinned:
        return Decision("pinned")
    if not recorded:
        return Decision("unrecorded")
    if stale:
        return Decision("policy-stale")
    task = view.policy.tasks.get(identity.task)
    if task is None:
        return Decision("no-rung")
    decision = _walk(view, task, identity.fingerprint, request)
    if decision.reason in ("accepted", "novel", "uncertain"):
        decision.audit_probability = task.audit_rate
    if decision.rung is None:
        decision.repeat = task.repeat_rate > 0 and chance() < task.repeat_rate
    else:
        decision.audit = chance() < task.audit_rate
    return decision


def _walk(view: PolicyView, task: TaskPolicy, fingerprint: str, request: ChatRequest) -> Decision:
    decision = Decision("no-rung")
    if not task.rungs:
        return decision
    prompt = student_input(request) if student_can_answer(request) else None
    if prompt is None:
        decision.reason = "unsupported"
        return decision
    for rung in task.rungs:
        student = view.students.get(key_of(rung))
        if student is None:  # not damaged means not loaded yet: as if it were not in force
            decision.reason = "student-missing" if key_of(rung) in view.damaged else "no-rung"
        elif fingerprint not in rung.fingerprints:
            decision.reason = "novel"
        elif _try(decision, rung, student, prompt):
            return decision
    return decision


def _try(decision: Decision, rung: Rung, student: Student, prompt: str) -> bool:
    """Whether the rung accepts; the decision says why either way."""
    try:
        answer = student.answer(prompt)
    except Exception as error:  # noqa: BLE001 - whatever a student raises, the incumbent answers; the gateway logs it
        decision.reason = "student-failed"
        decision.failure = error
        return False
    decision.signal, decision.novelty = answer.signal, answer.novelty
    # Written so that a signal or novelty that is not a number is never accepted.
    if not answer.novelty <= rung.novelty_limit:
        decision.reason = "novel"
        return False
    if not answer.signal >= rung.threshold:
        decision.reason = "uncertain"
        return False
    decision.reason, decision.rung, decision.student, decision.answer = "accepted", rung, student, answer.text
    return True
