"""`POST /v1/chat/completions`: parse, identify, decide, answer, record; audits follow in the background."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import msgspec
import structlog

from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.errors import RequestError
from freehold.gateway.audits import Question
from freehold.gateway.body import ClientWatch
from freehold.gateway.caller import Caller
from freehold.gateway.exchange import Exchange
from freehold.gateway.guard import guarded, pass_on
from freehold.gateway.ladder import answer_by_ladder
from freehold.gateway.owned import owned_answer
from freehold.gateway.replies import Receive, Scope, Send, reply_bytes
from freehold.gateway.rungs import Ask
from freehold.gateway.runtime import Runtime
from freehold.route import Decision, decide
from freehold.route.identify import header_task_name, task_name

_log = structlog.get_logger()


class _Model(msgspec.Struct):
    """As much as must be known to pass a request on."""

    model: str
    stream: bool | None = None


_model_decoder = msgspec.json.Decoder(_Model)


async def chat(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one chat request; every failure is in its trace, and in the caller's answer if none had begun."""
    caller = runtime.caller(scope)
    exchange = runtime.begin()
    exchange.recorded = caller.recorded
    exchange.episode, exchange.parent = caller.episode, caller.parent
    await guarded(runtime, exchange, caller, receive, send, _answer)


async def _answer(
    runtime: Runtime, exchange: Exchange, caller: Caller, body: bytes, watch: ClientWatch, send: Send
) -> None:
    request = _parse(body)
    exchange.model, exchange.stream = request.model, bool(request.stream)
    upstream = runtime.upstreams.find(request.model)
    if isinstance(request, ChatRequest):
        decision = await _decide(runtime, exchange, caller, request)
        if decision.rung is not None:
            await _answer_owned(runtime, exchange, request, decision, watch, send)
        elif decision.climb is None or not await answer_by_ladder(
            Ask(runtime, exchange, caller, upstream, body), request, decision, watch, send
        ):
            exchange.reason, exchange.audit_probability = decision.reason, decision.audit_probability
            await pass_on(runtime, exchange, caller, upstream, body, watch, send)
        _follow_up(runtime, exchange, caller, request, decision, upstream, body)
    else:
        exchange.reason = "unsupported"
        exchange.policy = runtime.watch.view.policy.version
        await pass_on(runtime, exchange, caller, upstream, body, watch, send)


def _parse(body: bytes) -> ChatRequest | _Model:
    """The request; where it is JSON with a model but not as we know it, the upstream shall judge it, not we."""
    try:
        return parse_chat(body)
    except RequestError:
        try:
            return _model_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        raise


async def _decide(runtime: Runtime, exchange: Exchange, caller: Caller, request: ChatRequest) -> Decision:
    view = runtime.watch.view
    name = task_name(request, header_task_name(caller.task) if caller.task else "")
    identity = runtime.identifier.identify(request, name, view.index)
    exchange.task, exchange.task_name, exchange.fingerprint = identity.task, identity.name, identity.fingerprint
    exchange.policy = view.policy.version
    decide_now = partial(
        decide,
        view,
        identity,
        request,
        pinned=caller.pinned,
        recorded=caller.recorded,
        buffered=caller.buffered,
        stale=runtime.watch.stale,
        chance=random.random,
    )
    loaded = view.ladders.get(identity.task)
    decision = await asyncio.to_thread(decide_now) if loaded is not None and loaded.slow else decide_now()
    exchange.signal, exchange.novelty = decision.signal, decision.novelty
    if decision.failure is not None:
        runtime.metrics.student_failures += decision.reason == "student-failed"
        _log.error(decision.reason, task=identity.task, trace_id=exchange.trace_id, error=repr(decision.failure))
    return decision


async def _answer_owned(
    runtime: Runtime, exchange: Exchange, request: ChatRequest, decision: Decision, watch: ClientWatch, send: Send
) -> None:
    rung = decision.rung
    assert rung is not None
    headers, body = owned_answer(request, decision.student, decision.answer, exchange.trace_id)
    exchange.began_answering()
    exchange.reason, exchange.owned, exchange.status = decision.reason, True, 200
    exchange.answered_by, exchange.certificate = f"student/{rung.student}", rung.certificate
    exchange.audit_probability, exchange.audited = decision.audit_probability, decision.audit
    exchange.response = body[: runtime.settings.gateway.max_recorded_response_bytes]
    exchange.truncated = len(exchange.response) < len(body)
    watch.stop()
    exchange.finish()
    await reply_bytes(send, 200, body, headers + exchange.headers())


def _follow_up(
    runtime: Runtime,
    exchange: Exchange,
    caller: Caller,
    request: ChatRequest,
    decision: Decision,
    upstream: str,
    body: bytes,
) -> None:
    """Ask the incumbent about an audited answer, or a second time about its own; ask candidates about its answer."""
    shadows = runtime.shadows
    if shadows is None and not decision.audit and not decision.repeat:
        return
    key = runtime.forwarded_key(caller)
    chance = drawn = 0.0 if shadows is None else shadows.rate
    if decision.audit:
        runtime.audits.put(Question("audit", exchange, upstream, body, caller.forward, key))
        # Of all accepted requests: as near to the rate of all others as audits allow.
        drawn = min(drawn, decision.audit_probability)
        chance = drawn / decision.audit_probability
    elif decision.reason == "accepted" or exchange.status != 200 or exchange.error is not None:
        return
    elif decision.repeat:
        runtime.audits.put(Question("repeat", exchange, upstream, body, caller.forward, key))
    if shadows is not None and caller.recorded and random.random() < chance:
        shadows.about(exchange, request, upstream, caller.forward, key, drawn)
