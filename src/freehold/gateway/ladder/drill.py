"""Exit drills: a request whose upstream is cut goes to the best that is owned, or fails and says so.

What happens to it is outside of the loop: its reason is `drill`, it is not audited, and no candidate is asked about it.
"""

from __future__ import annotations

import random
import time

from freehold.domain.chat import ChatRequest
from freehold.domain.errors import DrillError
from freehold.gateway.background.asking import PATHS, question
from freehold.gateway.background.audits import Question
from freehold.gateway.dialect import own_answer
from freehold.gateway.ladder.owned import owned_answer
from freehold.gateway.relay import Relay, pass_on
from freehold.gateway.turn import Turn
from freehold.route import DrillView, Replacement, stand_in_for
from freehold.route.identify import Identity
from freehold.upstreams.model_field import with_model, with_prompt


def drilled(turn: Turn, upstream: str, request: ChatRequest | None = None, identity: Identity | None = None) -> bool:
    """Let a drill answer, if one takes the request. False: it goes its usual way.

    Args:
        turn: the caller's.
        upstream: where it would go.
        request: as chat completion, and `identity`, where it may be a task's.

    Raises:
        DrillError: nothing owned can answer it.
        RequestError: the stand-in's protocol cannot say what it asks for.
    """
    drill, exchange = turn.runtime.drill, turn.exchange
    if drill is None or upstream not in drill.cut:
        return False
    if turn.caller.pinned:
        exchange.reason = "pinned"
        return False
    if not drill.takes(upstream, exchange.task, exchange.at_ns, random.random):
        return False
    exchange.reason = "drill"
    exchange.more_headers = [*exchange.more_headers, (b"x-freehold-drill", drill.header)]
    found = stand_in_for(drill, turn.runtime.watch.view, identity, request, exchange.api)
    exchange.signal, exchange.novelty, exchange.certificate = found.signal, found.novelty, found.certificate
    if found.student is not None and request is not None:
        _answer(turn, request, found)
        _compare(turn, drill, upstream)
    elif found.outcome is not None:
        _ask(turn, found, drill, upstream)
    elif drill.drill.spare:
        pass_on(turn, upstream)
    else:
        raise _nobody(drill, upstream, found.why)
    return True


def _answer(turn: Turn, request: ChatRequest, found: Replacement) -> None:
    """A student's answer."""
    exchange = turn.exchange
    headers, body = own_answer(exchange.api, *owned_answer(request, found.student, found.answer, exchange.trace_id))
    exchange.began_answering()
    exchange.owned, exchange.status, exchange.answered_by = True, 200, found.name
    exchange.response = body[: turn.runtime.settings.gateway.max_recorded_response_bytes]
    exchange.truncated = len(exchange.response) < len(body)
    exchange.finish()
    turn.reply.whole(200, headers + exchange.headers(), body)


def _ask(turn: Turn, found: Replacement, drill: DrillView, upstream: str) -> None:
    """Pass the request on to an owned model. None of its upstream's fallbacks is asked: they may be rented, or cut."""
    caller, exchange = turn.caller, turn.exchange
    body = with_prompt(turn.body, found.model, found.prompt) if found.prompt else with_model(turn.body, found.model)
    request = question(body, caller, elsewhere=True, path=caller.upstream_path)
    exchange.owned, exchange.attempts = True, request.attempts
    relay = Relay(turn, found.model, lambda: _compare(turn, drill, upstream))
    turn.reply.listener = relay
    relay.carry(turn.runtime.upstreams.entries[found.upstream].upstream.start(request, relay))


def _compare(turn: Turn, drill: DrillView, upstream: str) -> None:
    """Ask the incumbent the same in the background, so that the report can say how answers differ."""
    exchange, share = turn.exchange, drill.drill.compare
    if exchange.status != 200 or exchange.error is not None or exchange.api not in PATHS or not turn.caller.recorded:
        return
    if share and random.random() < share:
        asked = Question("drill", exchange, upstream, turn.body, turn.caller, exchange.api)
        turn.runtime.audits.put(asked)


def _nobody(drill: DrillView, upstream: str, why: str) -> DrillError:
    until = time.strftime("%H:%M:%S", time.gmtime(drill.drill.until_ns / 1e9))
    return DrillError(
        f"The exit drill {drill.drill.drill_id} has cut upstream {upstream!r} until {until} UTC, and nothing owned "
        f"can answer this. {why}",
        "Send `x-freehold-pin: incumbent` to be let through, or end the drill: `freehold drill stop`.",
    )
