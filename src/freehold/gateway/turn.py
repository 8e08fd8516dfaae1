"""One caller's request while it is answered: what is known of it, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from freehold.domain.errors import FreeholdError
from freehold.gateway.caller import Caller
from freehold.gateway.dialect import own_error
from freehold.gateway.exchange import Exchange
from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_error
from freehold.gateway.telemetry.trace_context import replace_headers

if TYPE_CHECKING:
    from freehold.gateway.cache import Look
    from freehold.gateway.runtime import Runtime

_log = structlog.get_logger()


class Turn:
    """Runtime, caller, body, reply, and the exchange that will be the trace."""

    __slots__ = ("_waiting", "body", "caller", "exchange", "look", "reply", "runtime")

    def __init__(self, runtime: Runtime, request: Request, reply: Reply) -> None:
        self.runtime = runtime
        self.caller: Caller = request.caller
        self.body = request.body
        self.reply = reply
        self.look: Look | None = None
        """What the cache said, if it is on."""
        self._waiting: Waiting | None = None
        self.exchange: Exchange = runtime.begin()
        self.exchange.request = request.body
        self.exchange.recorded = self.caller.recorded
        if runtime.telemetry.spans:
            self.exchange.span = span = runtime.telemetry.begin(self.caller.forward, self.exchange.trace_id)
            self.caller = self.caller.with_forward(replace_headers(self.caller.forward, span))
        self.exchange.key = self.caller.grant.key_id
        if self.caller.place is not None:
            self.exchange.take_place(self.caller.place)

    def refuse(self, error: FreeholdError) -> None:
        """Record what went wrong, and tell the caller if no answer has begun; one that has is cut."""
        exchange = self.exchange
        exchange.failed(error.code, error.message)
        if self.reply.started:
            exchange.finish()
            self.reply.cut()
            return
        told = own_error(self.caller.upstream_path, error)
        exchange.status, exchange.response = told
        exchange.finish()
        reply_error(self.reply, error, exchange.headers(), told)

    def broke(self, error: Exception) -> None:
        """As `refuse`, for what should not have happened: the log says what, the caller only that."""
        self.exchange.failed("internal_error", type(error).__name__)
        _log.error("request-failed", trace_id=self.exchange.trace_id, exc_info=error)
        self.refuse(FreeholdError("The gateway failed.", "Its log says why; try again."))

    def gone(self) -> None:
        """The caller has left before the end of the answer."""
        self.exchange.failed("client_closed", "The caller closed the connection before the end of the answer.")
        self.exchange.finish()

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a coroutine answer: for what cannot be answered at once."""
        self._waiting = Waiting(self.reply, self._guarded(work))

    async def room(self) -> None:
        """Within `wait_for`: wait until the caller has read most of what was sent."""
        if self._waiting is not None:
            await self._waiting.room()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except FreeholdError as error:
            self.refuse(error)
        except asyncio.CancelledError:
            if not self.reply.over:
                self.exchange.failed("gateway_stopped", "The gateway stopped before the end of the answer.")
            self.gone()
            raise
        except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
            self.broke(error)


class Waiting:
    """A coroutine that answers, as its reply's listener: cancelled when the caller leaves, held while it is slow."""

    def __init__(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        self._drained: asyncio.Future[None] | None = None
        reply.listener = self
        self._task = asyncio.get_running_loop().create_task(work)
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    def gone(self) -> None:
        """See `Listener`."""
        self._task.cancel()

    def pause(self) -> None:
        """See `Listener`."""
        self._drained = self._drained or asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """See `Listener`."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def room(self) -> None:
        """Wait until the caller has read most of what was sent."""
        if self._drained is not None:
            await asyncio.shield(self._drained)


_running: set[asyncio.Task[None]] = set()
"""The event loop itself holds tasks only weakly."""
