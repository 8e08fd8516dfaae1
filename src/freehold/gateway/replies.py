"""Short replies of our own: JSON documents and errors, in the shape of the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from freehold.domain.errors import FreeholdError, RequestError
from freehold.upstreams.base import Headers

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = (b"content-type", b"application/json")
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


async def reply(send: Send, status: int, document: object, headers: Headers | None = None) -> None:
    """Send `document` as JSON."""
    await reply_bytes(send, status, msgspec.json.encode(document), [JSON, *(headers or ())])


async def reply_bytes(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a whole body."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def error_body(error: FreeholdError) -> bytes:
    """An error as OpenAI shapes it: {"error": {message, type, param, code}}."""
    kind = _TYPES.get(error.http_status) or ("invalid_request_error" if error.http_status < 500 else "api_error")
    param = "model" if error.code == "model_not_found" else None
    return msgspec.json.encode({"error": {"message": str(error), "type": kind, "param": param, "code": error.code}})


async def reply_error(send: Send, error: FreeholdError, headers: Headers | None = None) -> None:
    """Send `error` with its own status. After a request that was not read to its end the connection is closed."""
    found = [JSON, *(headers or ())]
    if isinstance(error, RequestError) and error.http_status in (401, 413):
        found.append((b"connection", b"close"))  # the body may still be on its way, and nobody will read it
    await reply_bytes(send, error.http_status, error_body(error), found)
