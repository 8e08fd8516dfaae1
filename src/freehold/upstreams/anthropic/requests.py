"""A request as an upstream of the other protocol takes it: its path, headers, key and body."""

from __future__ import annotations

import time

from freehold.domain.errors import TranslationError
from freehold.upstreams.anthropic.paths import CHAT, MESSAGES
from freehold.upstreams.anthropic.sinks import ToAnthropic, ToOpenAI, Translating
from freehold.upstreams.base import Headers, Sink, UpstreamRequest
from freehold.upstreams.translate import Options, TranslatedRequest, request_to_anthropic, request_to_openai

_FEATURES = frozenset((b"anthropic-beta", b"openai-beta"))
"""Ask for what only the caller's provider has; what comes of it in the body is refused by its name."""
_NEITHER = frozenset((b"content-encoding", b"content-md5", b"digest", b"content-digest"))
"""Speak of the body's bytes, which change."""


def translated(
    upstream: str, protocol: str, request: UpstreamRequest, sink: Sink, options: Options
) -> tuple[UpstreamRequest, Translating]:
    """A request by the other protocol as an upstream of `protocol` takes it, and the sink for its answer.

    Args:
        upstream: its name.
        protocol: what it speaks, "openai" or "anthropic".
        request: its path begins with one of `FOREIGN[protocol]`.
        sink: takes the answer in the caller's protocol.
        options: what the upstream's operator set.

    Raises:
        RequestError: the body is not what the path asks for.
        TranslationError: the request asks for something that the upstream's protocol does not have.
    """
    path = request.path.partition(b"?")[0]
    if request.method == b"POST" and path == CHAT and protocol == "anthropic":
        made = request_to_anthropic(request.body, options)
        asked = _asked(request, MESSAGES, made, _without(request.headers, b"openai-"))
        asked.api_key, asked.authorization = request.api_key or _bearer(request.authorization), None
        answered: Translating = ToOpenAI(
            sink, created=int(time.time()), include_usage=made.include_usage, dropped=_dropped(made, request)
        )
        return asked, answered
    if request.method == b"POST" and path == MESSAGES and protocol == "openai":
        made = request_to_openai(request.body, options)
        asked = _asked(request, CHAT, made, _without(request.headers, b"anthropic-"))
        if asked.authorization is None and request.api_key is not None:
            asked.authorization = b"Bearer " + request.api_key
        return asked, ToAnthropic(sink, dropped=_dropped(made, request))
    raise _nothing_like(upstream, protocol, path)


def _nothing_like(upstream: str, protocol: str, path: bytes) -> TranslationError:
    shown = path.decode(errors="replace")
    ours, theirs = ("Anthropic", "OpenAI") if protocol == "anthropic" else ("OpenAI", "Anthropic")
    return TranslationError(
        f"{ours}'s protocol, which upstream {upstream!r} speaks, has nothing like {shown!r}.",
        f"Ask a model whose upstream speaks {theirs}'s protocol.",
    )


def _asked(request: UpstreamRequest, path: bytes, made: TranslatedRequest, headers: Headers) -> UpstreamRequest:
    asked = UpstreamRequest(
        method=request.method, path=path, headers=headers, body=made.body, authorization=request.authorization
    )
    asked.attempts = request.attempts
    return asked


def _dropped(made: TranslatedRequest, request: UpstreamRequest) -> tuple[str, ...]:
    """What the caller asked for and is told was left out: fields, and headers that ask for features."""
    return (*made.dropped, *(name.decode() for name, _ in request.headers if name in _FEATURES))


def _without(headers: Headers, prefix: bytes) -> Headers:
    """Without what only the caller's protocol knows, and what may be meant for its provider alone."""
    return [header for header in headers if not header[0].startswith(prefix) and header[0] not in _NEITHER]


def _bearer(authorization: bytes | None) -> bytes | None:
    """The key in an Authorization header."""
    scheme, _, key = (authorization or b"").partition(b" ")
    return key.strip() or None if scheme.lower() == b"bearer" else None
