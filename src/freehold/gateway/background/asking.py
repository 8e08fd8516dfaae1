"""What every question of the gateway's own has in common: its body, whose headers go with it, its answer kept whole."""

from __future__ import annotations

import msgspec

from freehold.domain.traces import Api
from freehold.gateway.caller import Caller
from freehold.gateway.exchange import Exchange
from freehold.gateway.relay import Copy
from freehold.upstreams.base import Headers, UpstreamRequest
from freehold.upstreams.directory import UpstreamDirectory

CHAT = b"/chat/completions"
PATHS: dict[Api, bytes] = {"chat": CHAT, "messages": b"/messages"}
"""What follows an upstream's base URL, of the APIs whose requests are asked again."""
_UNREPEATABLE = frozenset((b"idempotency-key", b"content-encoding"))
"""A provider answers a repeated idempotency key from its memory: that would be no second answer."""
_HARMLESS = frozenset((b"content-type", b"accept", b"user-agent", b"traceparent"))
"""What may go to an upstream that the caller did not ask for: anything else could be a secret of the one asked for."""


def question(body: bytes, caller: Caller, *, elsewhere: bool, path: bytes = CHAT) -> UpstreamRequest:
    """A request of ours with a caller's headers.

    `elsewhere`: it goes to another upstream than the caller asked for, so neither the caller's keys nor anything else
    that may be meant for that one only goes with it, the path's query included.
    """
    if elsewhere:
        kept = [header for header in caller.forward if header[0] in _HARMLESS]
        return UpstreamRequest(method=b"POST", path=path.partition(b"?")[0], headers=kept, body=body)
    kept = [header for header in caller.forward if header[0] not in _UNREPEATABLE]
    return UpstreamRequest(
        method=b"POST",
        path=path,
        headers=kept,
        body=body,
        authorization=caller.authorization,
        api_key=caller.api_key,
    )


def gives_logprobs(upstreams: UpstreamDirectory, name: str) -> bool:
    """Whether the protocol of an upstream has log-probabilities to ask for."""
    return upstreams.entries[name].upstream.protocol == "openai"


def rewritten(body: bytes, *, model: str | None = None, whole: bool = True, logprobs: bool = False) -> bytes:
    """The same request, every field that is not named here byte for byte.

    Args:
        body: a JSON object.
        model: asked in place of the body's; None: the body's.
        whole: ask for the answer in one piece: nobody waits for its first word.
        logprobs: ask for the tokens' log-probabilities.
    """
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if model is None and not logprobs and not (whole and "stream" in fields):
        return body
    if whole:
        fields.pop("stream", None)
        fields.pop("stream_options", None)
    if model is not None:
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    if logprobs:
        fields["logprobs"] = msgspec.Raw(b"true")
    return msgspec.json.encode(fields)


async def ask_whole(
    upstreams: UpstreamDirectory, exchange: Exchange, upstream: str, model: str, request: UpstreamRequest, limit: int
) -> Headers:
    """Ask, and read the whole answer into `exchange`, the first `limit` bytes of its body; returns its headers.

    Raises:
        UpstreamError: no answer began, or it broke off.
    """
    exchange.attempts = request.attempts
    name, response = await upstreams.send(upstream, request)
    exchange.answered_by = f"{name}/{model}"
    exchange.began_answering()
    copy = Copy(limit)
    try:
        while not response.at_end:
            copy.add(await response.read())
        exchange.status = response.status
    finally:
        response.close()
        exchange.response, exchange.truncated = copy.kept, copy.truncated
    return response.headers
