"""Gives a kept answer again, in the place of asking an upstream, and has answers kept."""

from __future__ import annotations

from freehold.gateway.cache import Look, tenant_of
from freehold.gateway.turn import Turn
from freehold.upstreams.base import Headers


def given_again(turn: Turn, upstream: str) -> bool:
    """Answer from the cache, if it is on and has an answer of `upstream` to this very request of this very caller.

    Such an answer is recorded as `cached`: it costs nothing, and is evidence of nothing. If there is none, the answer
    that `pass_on` brings is kept, where the caller allows it. What was answered by a rung is neither kept nor given:
    that is for the policy in force.
    """
    runtime, caller, exchange = turn.runtime, turn.caller, turn.exchange
    cache = runtime.cache
    if cache is None:
        return False
    look = turn.look = cache.ask(
        tenant_of(caller.grant.key_id, caller.authorization, caller.api_key),
        upstream,
        runtime.upstreams.entries[upstream].upstream.origin,
        caller.method,
        caller.upstream_path,
        caller.forward,
        turn.body,
        allowed=caller.cached and caller.recorded,  # what must not be recorded must not be kept either
    )
    runtime.metrics.cache[look.outcome] += 1
    exchange.more_headers = [*exchange.more_headers, *look.headers()]
    entry = look.entry
    if entry is None:
        return False
    exchange.began_answering()
    exchange.reason, exchange.cached = "cached", True
    exchange.answered_by, exchange.status = f"{entry.upstream}/{exchange.model}", 200
    exchange.response = entry.body[: runtime.settings.gateway.max_recorded_response_bytes]
    exchange.truncated = len(exchange.response) < len(entry.body)
    exchange.finish()
    turn.reply.whole(200, entry.headers + exchange.headers(), entry.body)
    return True


def keep(turn: Turn, look: Look, headers: Headers) -> None:
    """Keep the answer that `pass_on` brought and the caller got with `headers`, if it went well.

    A fallback's is not kept: it would outlive the trouble that it was for.
    """
    exchange = turn.exchange
    well = (
        exchange.status == 200 and exchange.error is None and not exchange.truncated and exchange.reason != "fallback"
    )
    if well and exchange.answered_by.partition("/")[0] == look.upstream:
        look.keep(headers, exchange.response, exchange.trace_id)
