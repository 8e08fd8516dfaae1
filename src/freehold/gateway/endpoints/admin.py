"""`/admin/v1/*`: the admin API over HTTP (see `freehold.access.admin`). Its key is checked before a body is read."""

from __future__ import annotations

from freehold.access import AdminAPI
from freehold.domain.errors import FreeholdError
from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_error, reply_json
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Waiting
from freehold.upstreams.base import Headers

PREFIX = "/admin/v1/"
_PRIVATE: Headers = [(b"cache-control", b"no-store")]


def check_admin(runtime: Runtime, request: Request) -> None:
    """Whether the request may be read at all.

    Raises:
        NotFound: there is no admin API.
        AuthError: that is not its key.
    """
    runtime.admin.check(_authorization(request))


def admin(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Answer one request."""
    Waiting(reply, _answer(runtime.admin, request, reply))


async def _answer(api: AdminAPI, request: Request, reply: Reply) -> None:
    line = (request.method, request.raw_path, request.query)
    method, path, query = (part.decode("ascii", "replace") for part in line)
    try:
        status, document = await api.answer(method, path, query, _authorization(request), request.body)
    except FreeholdError as error:
        reply_error(reply, error)
    else:
        reply_json(reply, status, document, _PRIVATE)


def _authorization(request: Request) -> bytes | None:
    return next((value for name, value in request.headers if name == b"authorization"), None)
