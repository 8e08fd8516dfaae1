"""The application: a table of routes, and the one place where errors become replies."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from freehold.domain.errors import FreeholdError, NotFound
from freehold.gateway.dialect import api_of, own_error
from freehold.gateway.endpoints.admin import PREFIX as ADMIN
from freehold.gateway.endpoints.admin import admin, check_admin
from freehold.gateway.endpoints.chat import chat
from freehold.gateway.endpoints.feedback import feedback
from freehold.gateway.endpoints.health import healthz, metrics, readyz
from freehold.gateway.endpoints.messages import messages
from freehold.gateway.endpoints.models import models
from freehold.gateway.endpoints.otlp import otlp_logs, otlp_traces, resume
from freehold.gateway.endpoints.passthrough import passthrough
from freehold.gateway.http import Reply, Request, serve_asgi
from freehold.gateway.http.asgi import ASGIApp, Receive, Scope, Send
from freehold.gateway.process.reload import Follower
from freehold.gateway.replies import reply_error
from freehold.gateway.runs import RUNS, take_run
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn, Waiting

Handler = Callable[[Runtime, Request, Reply], None]

API: dict[tuple[bytes, str], Handler] = {
    (b"POST", "/v1/chat/completions"): chat,
    (b"POST", "/v1/messages"): messages,
    (b"GET", "/v1/models"): models,
    (b"POST", "/v1/feedback"): feedback,
    (b"POST", "/otlp/v1/traces"): otlp_traces,
    (b"POST", "/otlp/v1/logs"): otlp_logs,
}
"""For callers with a key; any other path below /v1 is passed through."""
OPEN: dict[tuple[bytes, str], Handler] = {
    (b"GET", "/healthz"): healthz,
    (b"GET", "/readyz"): readyz,
    (b"GET", "/metrics"): metrics,
}
"""For those who run the gateway: no key is asked for."""
RECORDED = frozenset((chat, messages, passthrough))
"""What they answer leaves traces."""
_OURS = frozenset(path for _, path in OPEN) | {"/v1/feedback"}
_log = structlog.get_logger()


class Gateway:
    """What the HTTP protocol calls (`freehold.gateway.http.Application`), and uvicorn's lifespan.

    Paths that are not the gateway's go to `fallback` (the dashboard, an ASGI application; it gets no lifespan).
    """

    def __init__(self, runtime: Runtime, fallback: ASGIApp | None = None, follower: Follower | None = None) -> None:
        self.runtime = runtime
        self._follower = follower
        self.connections = 0
        runtime.metrics.gauge("connections_open", lambda: self.connections)
        self.adopted(fallback)

    def adopted(self, fallback: ASGIApp | None) -> None:
        """The runtime has other settings."""
        self.max_body_bytes = self.runtime.settings.gateway.max_body_bytes
        self._fallback = fallback

    def head(self, request: Request) -> None:
        """Choose who answers, and check the caller's key before anything else of the request is looked at."""
        run = take_run(request) if request.raw_path.startswith(RUNS) else None
        route = (request.method, request.path)
        if request.path.startswith(ADMIN):
            check_admin(self.runtime, request)
            request.handler = admin
            return
        handler = API.get(route)
        if handler is None and request.path.startswith("/v1/") and request.path not in _OURS:
            handler = passthrough
        if handler is not None:
            request.caller = self.runtime.caller(request)
            if run is not None:
                request.caller.works_in(run)
            request.handler = handler
            return
        handler = OPEN.get(route)
        if handler is not None:
            request.handler = handler
        elif self._fallback is None or request.path in _OURS:
            raise NotFound(f"There is no {request.method.decode()} {request.path} here.", "The API is below /v1.")

    def holds(self, request: Request) -> bool:
        """Whether the caller's key is as good as it was; its limits are looked at later, as always."""
        caller = request.caller
        try:
            return self.runtime.access.admit(*caller.credentials) is caller.grant
        except FreeholdError:
            return False  # the long way says it

    def answer(self, request: Request, reply: Reply) -> None:
        """Let the handler answer; what it raises becomes a reply."""
        try:
            if request.handler is not None:
                request.handler(self.runtime, request, reply)
            elif self._fallback is not None:
                Waiting(reply, self._serve_fallback(self._fallback, request, reply))
        except FreeholdError as error:
            self.runtime.telemetry.refused(error, request.path)
            _tell(error, reply, request)
        except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
            self._broke(error, request, reply)

    def refuse(self, error: FreeholdError, request: Request | None, reply: Reply) -> None:
        """Tell the caller; there is a trace of it if the caller's key was right."""
        if request is not None and request.handler in RECORDED:
            turn = Turn(self.runtime, request, reply)
            turn.exchange.api = api_of(request)
            turn.refuse(error)
        else:
            self.runtime.telemetry.refused(error, request.path if request is not None else "")
            _tell(error, reply, request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI lifespan: open on startup, drain and close on shutdown."""
        await receive()
        try:
            await self.runtime.start()
        except (FreeholdError, OSError) as error:
            _log.error("gateway-not-started", error=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        resume(self.runtime)
        if self._follower is not None:
            self._follower.start(self)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._follower is not None:
            self._follower.stop()
        await self.runtime.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve_fallback(self, app: ASGIApp, request: Request, reply: Reply) -> None:
        try:
            await serve_asgi(app, request, reply)
        except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
            self._broke(error, request, reply)

    def _broke(self, error: Exception, request: Request, reply: Reply) -> None:
        _log.error("request-failed", path=request.path, exc_info=error)
        _tell(FreeholdError("The gateway failed.", "Its log says why; try again."), reply, request)


def _tell(error: FreeholdError, reply: Reply, request: Request | None) -> None:
    """Answer with an error; an answer that has begun is cut."""
    if reply.started:
        reply.cut()
    else:
        reply_error(reply, error, told=own_error(request.raw_path, error) if request is not None else None)
