"""Who answers: the first rung that may and will, else the incumbent, and why. Pure but for the draw and the student.

A ladder of several models is only begun here: its models are asked by the gateway (see `Climb`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from freehold.domain.chat import ChatRequest, answer_schema, model_can_answer, student_can_answer, student_input
from freehold.domain.policy import Reason, Rung, TaskPolicy
from freehold.route.identify import Identity
from freehold.route.ladder import Climb
from freehold.route.policy_view import PolicyView, key_of
from freehold.route.student import Gate, Student, StudentAnswer

__all__ = ["Decision", "Gate", "Student", "StudentAnswer", "decide"]


class Decision:
    """Why, and, where a rung accepted, its answer. `rung` and `student` are None when the incumbent answers.

    Where `climb` is there, a ladder's models are still to be asked, and where `awaited` is, a generative student is;
    until one answers, the reason is `uncertain`.
    """

    # Defaults of the class: most decisions keep them.
    rung: Rung | None = None
    student: Student | Gate | None = None
    climb: Climb | None = None
    awaited: Rung | None = None
    """Its server is to be asked about `prompt`."""
    shadow: Rung | None = None
    """Its server is to be asked about `prompt` in the background, if the incumbent answers."""
    prompt = ""
    answer = ""
    signal: float | None = None
    novelty: float | None = None
    audit = False
    """Ask the incumbent too, in the background, if a rung answers."""
    audit_probability = 0.0
    """The audit rate, for an owned answer and for an escalated request alike: samples are thinned to it."""
    repeat = False
    """Ask the incumbent a second time, in the background, if it answers."""
    failure: Exception | None = None
    """What a student or router raised: the incumbent answers instead."""

    def __init__(self, reason: Reason) -> None:
        self.reason: Reason = reason


def decide(
    view: PolicyView,
    identity: Identity,
    request: ChatRequest,
    *,
    pinned: bool,
    recorded: bool,
    buffered: bool,
    stale: bool,
    chance: Callable[[], float],
) -> Decision:
    """Walk the task's ladder.

    `chance` draws uniformly from [0, 1): an accepted answer is audited with the task's audit rate, an incumbent's
    answer repeated with its repeat rate. The incumbent answers what cannot be audited (`recorded` false). `buffered`:
    the caller allows an answer to be seen whole before the first of it is streamed.
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
    if task.ladder is not None:
        decision = _begin_climb(view, task.task, identity, request, buffered=buffered)
    else:
        decision = _walk(view, task, identity.fingerprint, request, chance)
    if decision.reason in ("accepted", "novel", "uncertain"):
        decision.audit_probability = task.audit_rate
    if decision.rung is None:
        decision.repeat = task.repeat_rate > 0 and chance() < task.repeat_rate
    if decision.rung is not None or decision.climb is not None or decision.awaited is not None:
        decision.audit = chance() < task.audit_rate
    return decision


def _begin_climb(view: PolicyView, task: str, identity: Identity, request: ChatRequest, *, buffered: bool) -> Decision:
    loaded = view.ladders.get(task)
    if loaded is None:  # not unusable means not loaded yet: as if it were not in force
        return Decision("ladder-unusable" if task in view.unusable else "no-rung")
    if identity.fingerprint not in loaded.fingerprints:
        return Decision("novel")
    can = model_can_answer(request) and (not loaded.with_students or student_can_answer(request))
    prompt = student_input(request) if can else None
    if prompt is None:
        return Decision("unsupported")
    if request.stream and not buffered and loaded.ladder.signal == "cascade":
        return Decision("streaming")
    try:
        climb = Climb(loaded, identity.name, identity.task, prompt)
        known = climb.known
    except Exception as error:  # noqa: BLE001 - whatever a router raises, the incumbent answers; the gateway logs it
        decision = Decision("router-failed")
        decision.failure = error
        return decision
    decision = Decision("uncertain" if known else "novel")
    decision.signal, decision.novelty = climb.expected_loss, climb.prediction.novelty
    if known and climb.rung is not None:
        decision.climb = climb
    return decision


def _walk(
    view: PolicyView, task: TaskPolicy, fingerprint: str, request: ChatRequest, chance: Callable[[], float]
) -> Decision:
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
        elif rung.kind == "generative":
            gate = cast("Gate", student)
            # A fingerprint passes over numbers, and a schema may have some.
            if gate.answer_schema and gate.answer_schema != answer_schema(request):
                decision.reason = "novel"
                continue
            _await(decision, rung, gate, prompt, chance)
            return decision
        elif _try(decision, rung, cast("Student", student), prompt):
            return decision
    return decision


def _await(decision: Decision, rung: Rung, gate: Gate, prompt: str, chance: Callable[[], float]) -> None:
    """Whether a generative student is to be asked, and who gets to see its answer.

    Whether a request is in the canary is drawn before anything is known of it: the others stay a fair sample.
    """
    if rung.stage == "canary" and not chance() < rung.share:
        decision.reason = "canary"
        return
    try:
        novelty = gate.novelty(prompt)
    except Exception as error:  # noqa: BLE001 - whatever a gate raises, the incumbent answers; the gateway logs it
        decision.reason, decision.failure = "student-failed", error
        return
    decision.novelty, decision.prompt, decision.student = novelty, prompt, gate
    known = novelty <= rung.novelty_limit
    if rung.stage == "shadow":
        decision.reason = "shadow"
        decision.shadow = rung if known else None
    elif known:
        decision.reason, decision.awaited = "uncertain", rung
    else:
        decision.reason = "novel"


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
