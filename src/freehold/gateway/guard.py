"""What every answer has in common: the body is read within limits, leaving callers are noticed, failures are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from freehold.domain.errors import FreeholdError
from freehold.gateway.body import ClientGone, ClientWatch, check_length, read_body
from freehold.gateway.caller import Caller
from freehold.gateway.exchange import Exchange
from freehold.gateway.relay import relay
from freehold.gateway.replies import Receive, Send, error_body, reply_error
from freehold.gateway.runtime import Runtime
from freehold.upstreams.base import UpstreamRequest

_log = structlog.get_logger()

Answer = Callable[[Runtime, Exchange, Caller, bytes, ClientWatch, Send], Awaitable[None]]


async def guarded(
    runtime: Runtime, exchange: Exchange, caller: Caller, receive: Receive, send: Send, answer: Answer
) -> None:
    """Read the body, run `answer`, and see to it that the trace is kept and says what went wrong."""
    limit = runtime.settings.gateway.max_body_bytes
    try:
        check_length(caller.content_length, limit)
        body = exchange.request = await read_body(receive, limit)
        async with ClientWatch(receive, runtime.watchman) as watch:
            await answer(runtime, exchange, caller, body, watch, send)
    except ClientGone:
        exchange.failed("client_closed", "The caller closed the connection before the end of the answer.")
    except FreeholdError as error:  # relay keeps its own: here no byte of an answer has gone out
        exchange.failed(error.code, error.message)
        exchange.status = error.http_status
        exchange.response = error_body(error)
        exchange.finish()
        await reply_error(send, error, exchange.headers())
    except asyncio.CancelledError:
        exchange.failed("gateway_stopped", "The gateway stopped before the end of the answer.")
        raise
    except Exception as error:
        exchange.failed("internal_error", type(error).__name__)
        _log.exception("request-failed", trace_id=exchange.trace_id)
        if exchange.status:  # some of an answer is out: let the server cut it
            raise
        raise FreeholdError("The gateway failed.", "Its log says why; try again.") from error
    finally:
        exchange.finish()


async def pass_on(
    runtime: Runtime, exchange: Exchange, caller: Caller, upstream: str, body: bytes, watch: ClientWatch, send: Send
) -> None:
    """Send the request's bytes upstream and its answer's bytes back.

    Raises:
        UpstreamError: no answer began.
    """
    request = UpstreamRequest(
        method=caller.method,
        path=caller.upstream_path,
        headers=caller.forward,
        body=body,
        authorization=runtime.forwarded_key(caller),
    )
    exchange.attempts = request.attempts
    name, response = await runtime.upstreams.send(upstream, request)
    exchange.began_answering()
    exchange.answered_by = f"{name}/{exchange.model}"
    exchange.status = response.status
    await relay(exchange, response, watch, send, runtime.settings.gateway.max_recorded_response_bytes)
