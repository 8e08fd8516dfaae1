"""`GET /v1/models`: what can be asked for, over all upstreams."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import structlog

from freehold.domain.errors import FreeholdError, UpstreamError, UpstreamProtocolError
from freehold.gateway.caller import Caller
from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_error, reply_json
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Waiting
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.directory import Entry
from freehold.upstreams.matching import is_glob

SECONDS = 10.0
"""An upstream that takes longer to list its models is left out."""
MAX_BYTES = 8_000_000
_log = structlog.get_logger()


class _Listing(msgspec.Struct):
    data: list[dict[str, Any]]


def models(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Configured names as they are; upstreams with none, or with globs, are asked. One that fails is left out."""
    Waiting(reply, _answer(runtime, request.caller, reply))


async def _answer(runtime: Runtime, caller: Caller, reply: Reply) -> None:
    try:
        found = await _over_all(runtime, caller)
    except FreeholdError as error:
        reply_error(reply, error)
    else:
        grant = caller.grant
        seen = [model for model in found if grant.allows_model(str(model.get("id")))] if grant.scoped else found
        reply_json(reply, 200, {"object": "list", "data": seen})


async def _over_all(runtime: Runtime, caller: Caller) -> list[dict[str, Any]]:
    """All models there are.

    Raises:
        UpstreamError: no model is known because every upstream that had to be asked failed.
    """
    entries = list(runtime.upstreams.entries.values())
    results = await asyncio.gather(*(_of(entry, caller) for entry in entries), return_exceptions=True)
    found: dict[str, dict[str, Any]] = {}
    failure: FreeholdError | None = None
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, FreeholdError):
            _log.warning("models-not-listed", upstream=entry.upstream.name, error=str(result))
            failure = result
        elif isinstance(result, BaseException):
            raise result
        else:
            for model in result:
                found.setdefault(str(model.get("id")), model)
    if failure is not None and not found:
        raise failure
    return list(found.values())


async def _of(entry: Entry, caller: Caller) -> list[dict[str, Any]]:
    names = [model for model in entry.models if not is_glob(model)]
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": entry.upstream.name} for name in names]
    if names and len(names) == len(entry.models):
        return listed
    try:
        fetched = await _fetch(entry, caller)
    except UpstreamError:
        if listed:
            return listed
        raise
    patterns = entry.models or ("*",)
    return listed + [
        model for model in fetched if any(fnmatchcase(str(model.get("id")), pattern) for pattern in patterns)
    ]


async def _fetch(entry: Entry, caller: Caller) -> list[dict[str, Any]]:
    name = entry.upstream.name
    request = UpstreamRequest(
        method=b"GET",
        path=b"/models",
        headers=[],
        body=b"",
        authorization=caller.authorization,
        api_key=caller.api_key,
    )
    try:
        async with asyncio.timeout(SECONDS):
            response = await entry.upstream.send(request)
            try:
                body = b""
                while not response.at_end and len(body) <= MAX_BYTES:
                    body += await response.read()
            finally:
                response.close()
        if response.status != 200:
            raise UpstreamProtocolError(
                f"Upstream {name!r} lists no models: {response.status}.", "Name them in its `models`."
            )
        return msgspec.json.decode(body, type=_Listing).data
    except TimeoutError as error:
        raise UpstreamProtocolError(
            f"Upstream {name!r} was too slow to list models.", "Name them in its `models`."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamProtocolError(
            f"Upstream {name!r} lists no models that can be read: {error}.", "Name them in its `models`."
        ) from error
