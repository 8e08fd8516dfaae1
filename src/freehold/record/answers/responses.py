"""Reads OpenAI's Responses: the document, or the stream, whose last event holds the whole document."""

from __future__ import annotations

from typing import Any

import msgspec

from freehold.record.answers.parts import Answer, ToolCall, Usage, decoded, events, usage_of

_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens: int | None = None


class _Part(msgspec.Struct, frozen=True):
    type: str = ""
    text: str | None = None


class _Item(msgspec.Struct, frozen=True):
    type: str = ""
    content: list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    """Text of a function's call; some of the provider's own tools have an object."""


class _Incomplete(msgspec.Struct, frozen=True):
    reason: str = ""


class _Response(msgspec.Struct, frozen=True):
    status: str | None = ""
    """Of a background response, `queued` at first."""
    model: str | None = ""
    output: list[_Item] = []
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct, frozen=True):
    """Any event; what its type does not have is empty."""

    type: str = ""
    response: _Response | None = None
    delta: Any = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)


def read_whole(response: bytes) -> Answer:
    """A response."""
    found = decoded(response, _response)
    return Answer() if found is None else _read(found)


def read_stream(response: bytes) -> Answer:
    """A stream of events; one that broke off has the text as far as it came."""
    pieces: list[str] = []
    last = Answer()
    for event in events(response, _event):
        if event.type == "response.output_text.delta" and isinstance(event.delta, str):
            pieces.append(event.delta)
        if event.response is not None:
            last = _read(event.response)
    if last.text is None and pieces:
        return msgspec.structs.replace(last, text="".join(pieces))
    return last


def _read(response: _Response) -> Answer:
    parts = [part for item in response.output if item.type == "message" for part in item.content or ()]
    texts = [part.text or "" for part in parts if part.type == "output_text"]
    calls = tuple(
        ToolCall(item.call_id or "", item.name or "", str(item.arguments or ""))
        for item in response.output
        if item.type == "function_call"
    )
    return Answer(
        text="".join(texts) if texts else None,
        finish_reason=_finish(response, called=bool(calls)),
        model=response.model or "",
        usage=_usage(response.usage),
        tool_calls=calls,
    )


def _finish(response: _Response, *, called: bool) -> str:
    if response.status == "completed":
        return "tool_calls" if called else "stop"
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else ""
        return _FINISH.get(reason, reason or "length")
    return ""


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    details = usage.input_tokens_details or _Details()
    return usage_of(usage.input_tokens, usage.output_tokens, details.cached_tokens, details.cache_write_tokens)
