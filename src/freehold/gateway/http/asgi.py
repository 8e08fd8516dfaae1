"""Lets an ASGI application (the dashboard) answer a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from freehold.gateway.http.reply import Reply
from freehold.gateway.http.request import Request
from freehold.upstreams.base import HOP_BY_HOP, Headers

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve_asgi(app: ASGIApp, request: Request, reply: Reply) -> None:
    """Run `app` on a whole request (ASGI 3.0, HTTP). It is cancelled when the caller leaves."""
    bodies = [request.body]

    async def receive() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await asyncio.get_running_loop().create_future()  # for ever: who leaves cancels the task
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reply.start(message["status"], _end_to_end(message["headers"]))
        elif message["type"] == "http.response.body":
            reply.body(message.get("body", b""), not message.get("more_body", False))

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.version,
        "server": None,
        "client": request.client,
        "scheme": "http",
        "method": request.method.decode("ascii"),
        "root_path": "",
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "headers": request.headers,
        "state": {},
    }
    await app(scope, receive, send)


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    lower = ((name.lower(), value) for name, value in headers)
    return [header for header in lower if header[0] not in HOP_BY_HOP]
