"""Answers and errors of our own in the words of callers who speak Anthropic's protocol. Others get them as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.domain.errors import FreeholdError
from freehold.gateway.replies import error_body
from freehold.upstreams.base import Headers, Sink

if TYPE_CHECKING:
    from freehold.domain.traces import Api
    from freehold.gateway.http import Request

ANTHROPIC = b"/messages"
"""How the paths begin (after /v1) that only Anthropic's protocol has."""

_APIS: dict[str, Api] = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}

# The translation is imported where it is used: most gateways never need it.


def api_of(request: Request) -> Api:
    """Which API a request is by. What asks for nothing new (a stored response, say) is by another: it costs nothing."""
    return _APIS.get(request.path, "other") if request.method == b"POST" else "other"


def own_answer(api: Api, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """A whole chat completion, or all events of one, as a caller by `api` is to get it.

    Raises:
        AnswerNotTranslatable: it holds what the caller's protocol cannot say.
    """
    if api != "messages":
        return headers, body
    from freehold.upstreams.translate import StreamToAnthropic, answer_to_anthropic

    streamed = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
    if not streamed:
        return headers, answer_to_anthropic(body).body
    stream = StreamToAnthropic()
    return headers, stream.feed(body) + stream.finish()


def own_sink(api: Api, sink: Sink) -> Sink:
    """What takes a chat completion as it comes, for a caller by `api`."""
    if api != "messages":
        return sink
    from freehold.upstreams.anthropic.sinks import ToAnthropic

    return ToAnthropic(sink)


def own_error(path: bytes, error: FreeholdError) -> tuple[int, bytes]:
    """Status and body of an error, for a caller of `path` (with or without /v1)."""
    body = error_body(error)
    if not path.removeprefix(b"/v1").startswith(ANTHROPIC):
        return error.http_status, body
    from freehold.upstreams.translate import error_to_anthropic

    told = error_to_anthropic(error.http_status, body)
    return told.status, told.body
