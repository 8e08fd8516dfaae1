"""Short replies of our own: JSON documents and errors, in the shape of the OpenAI protocol."""

from __future__ import annotations

import math

import msgspec

from freehold.domain.errors import FreeholdError
from freehold.gateway.http import Reply
from freehold.upstreams.base import Headers

JSON = (b"content-type", b"application/json")
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def reply_json(reply: Reply, status: int, document: object, headers: Headers | None = None) -> None:
    """Send `document` as JSON."""
    reply.whole(status, [JSON, *(headers or ())], msgspec.json.encode(document))


def error_body(error: FreeholdError) -> bytes:
    """An error as OpenAI shapes it: {"error": {message, type, param, code}}."""
    kind = _TYPES.get(error.http_status) or ("invalid_request_error" if error.http_status < 500 else "api_error")
    param = "model" if error.code == "model_not_found" else None
    return msgspec.json.encode({"error": {"message": str(error), "type": kind, "param": param, "code": error.code}})


def reply_error(
    reply: Reply, error: FreeholdError, headers: Headers | None = None, told: tuple[int, bytes] | None = None
) -> None:
    """Send `error` with its own status, and when to ask again if that is known. `told`: see `dialect.own_error`."""
    status, body = told or (error.http_status, error_body(error))
    later: Headers = []
    if error.retry_after is not None:
        later.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    reply.whole(status, [JSON, *later, *(headers or ())], body)
