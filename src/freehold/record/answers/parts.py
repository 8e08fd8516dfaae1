"""What is read from a response, and the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the upstream counted them; cached and written ones are among the input."""

    input: int
    cached: int
    """Read from the provider's cache."""
    output: int
    written: int = 0
    """Written to the provider's cache, however long it keeps them."""
    written_hour: int = 0
    """Of these, those that it keeps for an hour, at a price of their own."""


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a tool; `arguments` is JSON as the model wrote it, half of it if the answer broke off."""

    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read from a response, half or whole."""

    text: str | None = None
    """Of the first choice; None if it holds no text (a tool call, or nothing that answers in words)."""
    finish_reason: str = ""
    """OpenAI's word for it: `stop`, `length`, `tool_calls`, `content_filter`; another word as it was given."""
    model: str = ""
    usage: Usage | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the first choice, in the order they began."""
    reasoning: str = ""
    """What the model wrote before it answered, where an OpenAI-compatible server (vLLM, DeepSeek's) gives all of it as
    text. Summaries of a thinking that stays with the provider are not read: no model wrote them so."""


def usage_of(prompt: int | None, output: int | None, cached: int | None, written: int | None) -> Usage | None:
    """OpenAI's counts, cached ones within the prompt's; None unless both totals are there."""
    if prompt is None or output is None:
        return None
    given = max(prompt, 0)
    read = min(max(cached or 0, 0), given)
    return Usage(input=given, cached=read, output=max(output, 0), written=min(max(written or 0, 0), given - read))


def decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """The document, or None if it is none of this kind."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def events(response: bytes, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    """The data of a stream's events; passed over: comments, `[DONE]`, and the half event a stream broke off in."""
    for line in response.splitlines():
        if line.startswith(b"data:"):
            found = decoded(line[5:], decoder)
            if found is not None:
                yield found
