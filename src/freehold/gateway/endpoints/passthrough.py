"""Any other `/v1/*` path: passed through untouched, recorded, never a task. The trace says which API it is, so that
what it cost is known."""

from __future__ import annotations

from functools import partial

from freehold.domain.errors import FreeholdError, ModelNotFound, NotFound
from freehold.gateway.cache.repeat import given_again
from freehold.gateway.dialect import ANTHROPIC, api_of
from freehold.gateway.http import Reply, Request
from freehold.gateway.ladder.drill import drilled
from freehold.gateway.limits.admission import admit
from freehold.gateway.limits.tenancy import check_shared
from freehold.gateway.passing import Passing, read_passing
from freehold.gateway.relay import pass_on
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn

_ONE_MODEL = "/v1/models/"


def passthrough(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Pass the request to the upstream of its body's `model`, else to the default one."""
    turn = Turn(runtime, request, reply)
    exchange = turn.exchange
    exchange.reason = "passthrough"
    exchange.api = api_of(request)
    exchange.policy = runtime.watch.view.policy.version
    try:
        if ".." in request.path.replace("\\", "/").split("/"):
            raise NotFound("The path leaves the API.", "Send a path below /v1 without `..`.")
        grant = turn.caller.grant
        if grant.key_id is not None:
            check_shared(request.method, request.path, grant.name)
        if turn.body and not turn.caller.content_type.startswith(b"application/json"):
            exchange.request, exchange.truncated = b"", True  # an upload: not for the record
        asked = read_passing(turn.body) or Passing()  # what is not as we know it is not ours to judge
        if not asked.model and request.path.startswith(_ONE_MODEL):
            asked.model = request.path[len(_ONE_MODEL) :]
        exchange.model, exchange.stream = asked.model, bool(asked.stream)
        upstream = _upstream(runtime, asked.model, turn.caller.upstream_path)
        admit(turn, upstream, partial(pass_unread, turn, upstream))
    except FreeholdError as error:
        turn.refuse(error)


def pass_unread(turn: Turn, upstream: str) -> None:
    """Let `upstream` answer a request that no task takes, unless a drill or the cache does."""
    if turn.runtime.watch.drill is not None and drilled(turn, upstream):
        return
    if not given_again(turn, upstream):
        pass_on(turn, upstream)


def _upstream(runtime: Runtime, model: str, path: bytes) -> str:
    """Of the model; without one that is known the default, else the only upstream that speaks the path's protocol."""
    if model:
        try:
            return runtime.upstreams.find(model)
        except ModelNotFound:
            pass  # the default upstream may know it under another path
    if runtime.upstreams.default is not None:
        return runtime.upstreams.default
    protocol = "anthropic" if path.startswith(ANTHROPIC) else "openai"
    entries = runtime.upstreams.entries
    found = [name for name in runtime.upstreams.open if entries[name].upstream.protocol == protocol]
    if len(found) != 1:
        raise NotFound(
            "No upstream takes requests of this kind.",
            "Send a known `model`, or configure an upstream without `models`.",
        )
    return found[0]
