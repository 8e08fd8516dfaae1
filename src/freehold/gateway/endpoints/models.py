"""`GET /v1/models`: what can be asked for, over all upstreams, in the words of the caller's protocol."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
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
_LATEST = 253_402_300_799
"""The last second of the year 9999."""
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
        reply_json(reply, 200, _as_anthropic(seen) if _speaks_anthropic(caller) else _as_openai(seen))


def _speaks_anthropic(caller: Caller) -> bool:
    return any(name == b"anthropic-version" for name, _ in caller.forward)


def _as_openai(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Models of OpenAI's upstreams are listed as these list them."""
    data: list[dict[str, Any]] = []
    for model in found:
        named = {"id": model.get("id"), "object": "model", "created": _seconds(model), "owned_by": "anthropic"}
        data.append(model if "object" in model else named)
    return {"object": "list", "data": data}


def _as_anthropic(found: list[dict[str, Any]]) -> dict[str, Any]:
    """All on one page."""
    data: list[dict[str, Any]] = []
    for model in found:
        at = datetime.fromtimestamp(_seconds(model), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        named = {"type": "model", "id": model.get("id"), "display_name": model.get("id"), "created_at": at}
        data.append(model if model.get("type") == "model" else named)
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def _seconds(model: dict[str, Any]) -> int:
    """When it was made, in seconds since 1970, as either protocol says it; 0 where it does not."""
    created, at = model.get("created"), model.get("created_at")
    if isinstance(created, int):
        return min(max(created, 0), _LATEST)
    try:
        return int(datetime.fromisoformat(at).timestamp()) if isinstance(at, str) else 0
    except (ValueError, OverflowError):
        return 0


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
        path=b"/models?limit=1000" if entry.upstream.protocol == "anthropic" else b"/models",
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
