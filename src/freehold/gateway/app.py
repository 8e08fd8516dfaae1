"""The ASGI application: a table of routes, and the one place where errors become replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from freehold.domain.errors import FreeholdError, NotFound
from freehold.gateway.chat import chat
from freehold.gateway.feedback import feedback
from freehold.gateway.health import healthz, metrics, readyz
from freehold.gateway.models import models
from freehold.gateway.passthrough import passthrough
from freehold.gateway.replies import ASGIApp, Receive, Scope, Send, reply_error
from freehold.gateway.runtime import Runtime

Handler = Callable[[Runtime, Scope, Receive, Send], Awaitable[None]]

ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/chat/completions"): chat,
    ("GET", "/v1/models"): models,
    ("POST", "/v1/feedback"): feedback,
    ("GET", "/healthz"): healthz,
    ("GET", "/readyz"): readyz,
    ("GET", "/metrics"): metrics,
}
_OURS = frozenset(("/v1/feedback", "/healthz", "/readyz", "/metrics"))
_log = structlog.get_logger()


def create_app(runtime: Runtime, fallback: ASGIApp | None = None) -> ASGIApp:
    """The gateway over `runtime`; paths that are not its own go to `fallback` (the dashboard; it gets no lifespan)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(runtime, receive, send)
            return
        path: str = scope["path"]
        handler = ROUTES.get((scope["method"], path))
        if handler is None and path.startswith("/v1/") and path not in _OURS:
            handler = passthrough
        if handler is None and fallback is not None and path not in _OURS:
            await fallback(scope, receive, send)
        else:
            await _handle(handler or _unknown, runtime, scope, receive, send)

    return app


async def _handle(handler: Handler, runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Only a handler that has sent nothing yet raises a FreeholdError; uvicorn logs any other and answers 500."""
    try:
        await handler(runtime, scope, receive, send)
    except FreeholdError as error:
        await reply_error(send, error)


async def _unknown(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound(f"There is no {scope['method']} {scope['path']} here.", "The API is below /v1.")


async def _live(runtime: Runtime, receive: Receive, send: Send) -> None:
    """The ASGI lifespan: open on startup, drain and close on shutdown."""
    await receive()
    try:
        await runtime.start()
    except (FreeholdError, OSError) as error:
        _log.error("gateway-not-started", error=str(error))
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await runtime.stop()
    await send({"type": "lifespan.shutdown.complete"})
