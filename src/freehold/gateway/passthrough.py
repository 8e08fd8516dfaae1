"""Any other `/v1/*` path: passed through untouched, recorded, never a task."""

from __future__ import annotations

import msgspec

from freehold.domain.errors import FreeholdError, ModelNotFound, NotFound
from freehold.gateway.http import Reply, Request
from freehold.gateway.relay import pass_on
from freehold.gateway.repeat import given_again
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn


class _Model(msgspec.Struct):
    model: str = ""


_decoder = msgspec.json.Decoder(_Model)


def passthrough(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Pass the request to the upstream of its body's `model`, else to the default one."""
    turn = Turn(runtime, request, reply)
    exchange = turn.exchange
    exchange.reason = "passthrough"
    exchange.policy = runtime.watch.view.policy.version
    try:
        if b".." in request.raw_path.replace(b"%2e", b".").replace(b"%2E", b".").split(b"/"):
            raise NotFound("The path leaves the API.", "Send a path below /v1 without `..`.")
        if turn.body and not turn.caller.content_type.startswith(b"application/json"):
            exchange.request, exchange.truncated = b"", True  # an upload: not for the record
        exchange.model = _model(turn.body)
        upstream = _upstream(runtime, exchange.model)
        if not given_again(turn, upstream):
            pass_on(turn, upstream)
    except FreeholdError as error:
        turn.refuse(error)


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
