"""Any other `/v1/*` path: passed through untouched, recorded, never a task."""

from __future__ import annotations

import msgspec

from freehold.domain.errors import ModelNotFound, NotFound
from freehold.gateway.body import ClientWatch
from freehold.gateway.caller import Caller
from freehold.gateway.exchange import Exchange
from freehold.gateway.guard import guarded, pass_on
from freehold.gateway.replies import Receive, Scope, Send
from freehold.gateway.runtime import Runtime


class _Model(msgspec.Struct):
    model: str = ""


_decoder = msgspec.json.Decoder(_Model)


async def passthrough(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass the request to the upstream of its body's `model`, else to the default one."""
    caller = runtime.caller(scope)
    exchange = runtime.begin()
    exchange.recorded = caller.recorded
    exchange.reason = "passthrough"
    exchange.policy = runtime.watch.view.policy.version
    await guarded(runtime, exchange, caller, receive, send, _answer)


async def _answer(
    runtime: Runtime, exchange: Exchange, caller: Caller, body: bytes, watch: ClientWatch, send: Send
) -> None:
    if b".." in caller.upstream_path.partition(b"?")[0].replace(b"%2e", b".").replace(b"%2E", b".").split(b"/"):
        raise NotFound("The path leaves the API.", "Send a path below /v1 without `..`.")
    if body and not caller.content_type.startswith(b"application/json"):
        exchange.request, exchange.truncated = b"", True  # an upload: not for the record
    exchange.model = _model(body)
    await pass_on(runtime, exchange, caller, _upstream(runtime, exchange.model), body, watch, send)


def _model(body: bytes) -> str:
    try:
        return _decoder.decode(body).model if body else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""  # not ours to judge


def _upstream(runtime: Runtime, model: str) -> str:
    if model:
        try:
            return runtime.upstreams.find(model)
        except ModelNotFound:
            pass  # the default upstream may know it under another path
    if runtime.upstreams.default is None:
        raise NotFound(
            "No upstream takes requests of this kind.",
            "Send a known `model`, or configure an upstream without `models`.",
        )
    return runtime.upstreams.default
