"""Asks a generative student, in its server, for an answer. If it fails, is slow or unsure, the incumbent is asked as if
nothing had happened.

The student sees what it was certified on: the caller's prompt without the instructions, greedily answered, and by the
schema that it was certified with. What it was asked in vain is recorded as a trace of kind `rung`.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
import structlog

from freehold.domain.answers import answer_signal
from freehold.domain.errors import UpstreamError
from freehold.domain.policy import Reason, Rung
from freehold.gateway.background.audits import Question
from freehold.gateway.directory import STUDENTS
from freehold.gateway.ladder.rungs import Ask, ask_rung
from freehold.gateway.turn import Turn
from freehold.route import STUDENT, Decision, Gate, LadderRung

_log = structlog.get_logger()


def student_question(prompt: str, schema: str) -> bytes:
    """A student's input as the body of a chat completion's request; `schema`: as JSON, or empty."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}], "temperature": 0}
    if schema:
        form = {"name": "answer", "strict": True, "schema": msgspec.Raw(schema.encode())}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return msgspec.json.encode(body)


async def await_student(turn: Turn, upstream: str, decision: Decision) -> None:
    """Ask the student of `decision.awaited`. If it may answer, the decision says what it said; else why not."""
    rung = cast("Rung", decision.awaited)
    exchange, runtime, name = turn.exchange, turn.runtime, STUDENT + rung.student
    decision.awaited = None
    if runtime.resting.rests(name):
        runtime.metrics.rungs[name, "resting"] += 1
        _leave(decision, "rung-resting")
        return
    ask = Ask(turn, upstream, student_question(decision.prompt, _schema(decision)))
    try:
        reply = await ask_rung(ask, LadderRung(rung.student, 0, upstream=STUDENTS), logprobs=True)
    except UpstreamError as error:
        _log.warning("rung-failed", model=name, trace_id=exchange.trace_id, error=str(error))
        runtime.metrics.rungs[name, "failed"] += 1
        runtime.resting.failed(name)
        _leave(decision, "rung-failed")
        return
    runtime.resting.worked(name)
    call = reply.exchange
    decision.signal = answer_signal(call.response)
    taken = bool(reply.text) and decision.signal >= rung.threshold
    runtime.metrics.rungs[name, "accepted" if taken else "refused"] += 1
    if taken:
        decision.reason, decision.rung, decision.answer = "accepted", rung, reply.text
        return
    call.reason, call.signal = "uncertain", decision.signal
    call.finish()
    decision.reason, decision.audit = "uncertain", False


def _schema(decision: Decision) -> str:
    return cast("Gate", decision.student).answer_schema


def _leave(decision: Decision, reason: Reason) -> None:
    """The student said nothing: what it would have answered is in no fair sample."""
    decision.reason, decision.audit, decision.audit_probability = reason, False, 0.0


def ask_unseen(turn: Turn, decision: Decision, rung: Rung) -> None:
    """Ask the student in the background, beside the incumbent's answer."""
    body = student_question(decision.prompt, _schema(decision))
    asked = Question(
        "shadow",
        turn.exchange,
        STUDENTS,
        body,
        turn.caller,
        model=rung.student,
        elsewhere=True,
        probability=1.0,
        logprobs=True,
    )
    turn.runtime.audits.put(asked)
