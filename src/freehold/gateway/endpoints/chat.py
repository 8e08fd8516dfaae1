"""`POST /v1/chat/completions`: parse, identify, decide, answer, record; audits follow in the background.

Requests by Anthropic's Messages go the same way (see `messages`): they are read as chat completions.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

import structlog

from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.errors import FreeholdError, RequestError
from freehold.gateway.background.audits import Question
from freehold.gateway.cache.repeat import given_again
from freehold.gateway.dialect import own_answer
from freehold.gateway.endpoints.passthrough import pass_unread
from freehold.gateway.http import Reply, Request
from freehold.gateway.ladder.drill import drilled
from freehold.gateway.ladder.generative import ask_unseen, await_student
from freehold.gateway.ladder.ladder import answer_by_ladder
from freehold.gateway.ladder.owned import owned_answer
from freehold.gateway.ladder.rungs import Ask
from freehold.gateway.limits.admission import admit
from freehold.gateway.passing import Passing, read_passing
from freehold.gateway.relay import pass_on
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn
from freehold.route import Decision, decide
from freehold.route.identify import Identity, header_task_name, task_name
from freehold.route.policy_view import PolicyView

_log = structlog.get_logger()


Read = Callable[[bytes], tuple[ChatRequest | Passing, bytes]]
"""Reads a body: the request, and its body as a chat completion's."""


def chat(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Answer one chat request; every failure is in its trace, and in the caller's answer if none had begun."""
    answer(Turn(runtime, request, reply), _read)


def answer(turn: Turn, read: Read) -> None:
    """Answer a request that may be a task's."""
    try:
        _answer(turn, read)
    except FreeholdError as error:
        turn.refuse(error)
    except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
        turn.broke(error)


def _answer(turn: Turn, read: Read) -> None:
    runtime, exchange = turn.runtime, turn.exchange
    request, body = read(turn.body)
    exchange.model, exchange.stream = request.model, bool(request.stream)
    upstream = runtime.upstreams.find(request.model)
    view = runtime.watch.view
    exchange.policy = view.policy.version
    identity = _identity(turn, request, view) if isinstance(request, ChatRequest) else None
    if identity is None or not isinstance(request, ChatRequest):
        exchange.reason = "unsupported"
        admit(turn, upstream, partial(pass_unread, turn, upstream))
        return
    exchange.task, exchange.task_name, exchange.fingerprint = identity.task, identity.name, identity.fingerprint
    admit(turn, upstream, partial(_Chat(turn, request, body, upstream, identity).begin, view))


def _identity(turn: Turn, request: ChatRequest, view: PolicyView) -> Identity | None:
    """Which task it is; None if that cannot be found out, which is no reason not to pass it on.

    Raises:
        RequestError: the caller's name for it is none.
    """
    header = turn.caller.task
    try:
        name = task_name(request, header_task_name(header) if header else "")
        return turn.runtime.identifier.identify(request, name, view.index)
    except FreeholdError:
        raise
    except Exception:  # noqa: BLE001 - traffic flows, whatever the loop's part of the gateway makes of it
        _log.exception("task-not-identified", trace_id=turn.exchange.trace_id)
        return None


def _read(body: bytes) -> tuple[ChatRequest | Passing, bytes]:
    try:
        return parse_chat(body), body
    except RequestError as error:
        return passing(body, error), body


def passing(body: bytes, error: RequestError) -> Passing:
    """JSON with a model, but not as we know it (`error` says how): the upstream shall judge it, not we.

    Raises:
        RequestError: `error`, if it is not even that.
    """
    found = read_passing(body)
    if found is None or not found.model:
        raise error from None
    return found


class _Chat:
    """A chat request that may be a task's."""

    __slots__ = ("_body", "_identity", "_request", "_turn", "_upstream")

    def __init__(self, turn: Turn, request: ChatRequest, body: bytes, upstream: str, identity: Identity) -> None:
        self._turn = turn
        self._request = request
        self._body = body
        """The request's as a chat completion's."""
        self._upstream = upstream
        self._identity = identity

    def begin(self, view: PolicyView) -> None:
        """Whoever it is to be, let them answer."""
        turn, upstream = self._turn, self._upstream
        if turn.runtime.watch.drill is not None and drilled(turn, upstream, self._request, self._identity):
            return
        if given_again(turn, upstream):
            return
        loaded = view.ladders.get(self._identity.task)
        if loaded is None:
            self.follow(self.decide(view))
        else:
            turn.wait_for(self.climb(view, slow=loaded.slow))

    def decide(self, view: PolicyView) -> Decision:
        """Who answers, if it is not for a ladder's models to say."""
        runtime, caller = self._turn.runtime, self._turn.caller
        return decide(
            view,
            self._identity,
            self._request,
            pinned=caller.pinned,
            recorded=caller.recorded,
            buffered=caller.buffered,
            stale=runtime.watch.stale,
            chance=random.random,
        )

    def follow(self, decision: Decision) -> None:
        """Do as decided: a student's answer, or the incumbent's."""
        if decision.awaited is not None:
            self._turn.wait_for(self._await(decision))
            return
        self._note(decision)
        if decision.rung is not None:
            self._answer_owned(decision)
        else:
            self._pass_on(decision)

    async def _await(self, decision: Decision) -> None:
        await await_student(self._turn, self._upstream, decision)
        self.follow(decision)

    async def climb(self, view: PolicyView, *, slow: bool) -> None:
        """Let the task's ladder answer, else the incumbent. `slow`: deciding takes long, so it gets a thread."""
        decision = await asyncio.to_thread(self.decide, view) if slow else self.decide(view)
        if decision.climb is None:
            self.follow(decision)
            return
        self._note(decision)
        turn = self._turn
        if await answer_by_ladder(Ask(turn, self._upstream, self._body), self._request, decision):
            self._follow_up(decision)
        else:
            self._pass_on(decision)

    def _note(self, decision: Decision) -> None:
        exchange = self._turn.exchange
        exchange.signal, exchange.novelty = decision.signal, decision.novelty
        if decision.failure is not None:
            self._turn.runtime.metrics.student_failures += decision.reason == "student-failed"
            _log.error(decision.reason, task=exchange.task, trace_id=exchange.trace_id, error=repr(decision.failure))

    def _pass_on(self, decision: Decision) -> None:
        exchange = self._turn.exchange
        exchange.reason, exchange.audit_probability = decision.reason, decision.audit_probability
        asked = decision.audit or decision.repeat or decision.shadow is not None
        wanted = asked or self._turn.runtime.shadows is not None
        pass_on(self._turn, self._upstream, partial(self._follow_up, decision) if wanted else None)

    def _answer_owned(self, decision: Decision) -> None:
        turn, exchange, rung = self._turn, self._turn.exchange, decision.rung
        assert rung is not None
        said = owned_answer(self._request, decision.student, decision.answer, exchange.trace_id)
        headers, body = own_answer(exchange.api, *said)
        exchange.began_answering()
        exchange.reason, exchange.owned, exchange.status = decision.reason, True, 200
        exchange.answered_by, exchange.certificate = f"student/{rung.student}", rung.certificate
        exchange.audit_probability, exchange.audited = decision.audit_probability, decision.audit
        exchange.response = body[: turn.runtime.settings.gateway.max_recorded_response_bytes]
        exchange.truncated = len(exchange.response) < len(body)
        exchange.finish()
        turn.reply.whole(200, headers + exchange.headers(), body)
        self._follow_up(decision)

    def _follow_up(self, decision: Decision) -> None:
        """Ask the incumbent about an audited answer or again about its own; ask candidates about its answer."""
        runtime, caller, exchange = self._turn.runtime, self._turn.caller, self._turn.exchange
        shadows = runtime.shadows
        if decision.shadow is not None and exchange.status == 200 and exchange.error is None:
            ask_unseen(self._turn, decision, decision.shadow)
        if shadows is None and not decision.audit and not decision.repeat:
            return
        chance = drawn = 0.0 if shadows is None else shadows.rate
        question = partial(
            Question,
            exchange=exchange,
            upstream=self._upstream,
            body=self._turn.body,
            caller=caller,
            api=exchange.api,
        )
        if decision.audit:
            runtime.audits.put(question("audit"))
            # Of all accepted requests: as near to the rate of all others as audits allow.
            drawn = min(drawn, decision.audit_probability)
            chance = drawn / decision.audit_probability
        elif decision.reason == "accepted" or exchange.status != 200 or exchange.error is not None:
            return
        elif decision.repeat:
            runtime.audits.put(question("repeat"))
        if shadows is not None and caller.recorded and random.random() < chance:
            shadows.about(exchange, self._request, self._body, self._upstream, caller, drawn)
