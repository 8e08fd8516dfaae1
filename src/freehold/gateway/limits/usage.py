"""The tokens of an answer, found without reading the rest of it: for counters and limits, in the request's path.

`freehold.record.answers` reads whole answers when they are sealed, streams at a hundred times the cost; what the ledger
says comes from there.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from freehold.domain.traces import Api

TAIL_BYTES = 16_384
"""Usage stands at the end of an answer; what may follow it (metadata) is smaller than this."""
MAX_USAGE_BYTES = 2048
_KEY = b'"usage":'  # within a string its quotes are escaped, so no text of a prompt or an answer can look like it
_TRIES = 4
_DEEPEST = 8

Count = Annotated[int, msgspec.Meta(ge=0)] | None


class Tokens(NamedTuple):
    """As the upstream counted them."""

    given: int
    """Input, cached ones included."""
    cached: int
    """Of these, read from the provider's cache."""
    said: int
    """Output."""


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Count = None


class _Usage(msgspec.Struct, gc=False):
    """Chat completions and what is like them say prompt and completion; Responses and Messages input and output."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: _Details | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None


_decoder = msgspec.json.Decoder(_Usage)


def tokens_of(body: bytes, api: Api) -> Tokens | None:
    """What `body` (an answer, whole or streamed) says of its tokens; None if it does not say.

    The last `usage` that has counts is taken: a tool's input or the caller's metadata may have such a key too.
    """
    end = len(body)
    lowest = max(0, end - TAIL_BYTES)
    for _ in range(_TRIES):
        at = body.rfind(_KEY, lowest, end)
        if at < 0:
            return None
        usage = _usage(body, at + len(_KEY))
        if usage is not None:
            found = _anthropic(usage, body, at) if api == "messages" else _openai(usage)
            if found is not None:
                return found
        end = at
    return None


def _usage(body: bytes, start: int) -> _Usage | None:
    """The object that begins at `start`, found by its braces: its strings, if any, are names of service tiers."""
    depth, at, limit = 0, start, start + MAX_USAGE_BYTES
    for _ in range(_DEEPEST):
        close = body.find(b"}", at, limit)
        if close < 0:
            return None
        depth += body.count(b"{", at, close) - 1
        at = close + 1
        if depth <= 0:
            break
    try:
        return _decoder.decode(body[start:at])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _openai(usage: _Usage) -> Tokens | None:
    if usage.prompt_tokens is not None:
        given, said, details = usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details
    elif usage.input_tokens is not None:
        given, said, details = usage.input_tokens, usage.output_tokens, usage.input_tokens_details
    else:
        return None
    cached = (details.cached_tokens if details else None) or 0
    return Tokens(given, min(cached, given), said or 0)


def _anthropic(usage: _Usage, body: bytes, at: int) -> Tokens | None:
    """Messages count what was read from and written to the cache apart, and a stream tells the input at its start."""
    if usage.output_tokens is None:
        return None
    first = body.find(_KEY, 0, at)
    begun = (_usage(body, first + len(_KEY)) if first >= 0 else None) or usage
    read = _either(usage.cache_read_input_tokens, begun.cache_read_input_tokens)
    written = _either(usage.cache_creation_input_tokens, begun.cache_creation_input_tokens)
    given = _either(usage.input_tokens, begun.input_tokens)
    return Tokens(given + read + written, read, usage.output_tokens)


def _either(count: int | None, before: int | None) -> int:
    return count if count is not None else before or 0
