"""Reads Anthropic's messages."""

from __future__ import annotations

import msgspec

from freehold.record.answers.parts import Answer, ToolCall, Usage, decoded, events
from freehold.upstreams.translate.values import FINISH_OF_STOP


class _Written(msgspec.Struct, frozen=True):
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Written | None = None
    output_tokens: int | None = None


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct, frozen=True):
    content: list[_Block] = []
    stop_reason: str | None = None
    model: str = ""
    usage: _Usage | None = None


class _Delta(msgspec.Struct, frozen=True):
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct, frozen=True):
    """Any event; what its type does not have is empty."""

    type: str
    message: _Message | None = None
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)


def read_whole(response: bytes) -> Answer:
    """A message."""
    message = decoded(response, _message)
    if message is None:
        return Answer()
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [
        ToolCall(block.id, block.name, bytes(block.input).decode())
        for block in message.content
        if block.type == "tool_use"
    ]
    return Answer(
        text="".join(texts) if texts else None,
        finish_reason=_finish(message.stop_reason),
        model=message.model,
        usage=_counted([message.usage]),
        tool_calls=tuple(calls),
    )


def read_stream(response: bytes) -> Answer:
    """A stream of events."""
    model, stop = "", None
    counts: list[_Usage | None] = []
    texts: list[str] = []
    calls: dict[int, ToolCall] = {}
    for event in events(response, _event):
        if event.message is not None:
            model = event.message.model
            counts.append(event.message.usage)
        counts.append(event.usage)
        if event.content_block is not None and event.content_block.type == "tool_use":
            calls[event.index] = ToolCall(event.content_block.id, event.content_block.name, "")
        if event.content_block is not None and event.content_block.type == "text":
            texts.append(event.content_block.text)
        if event.delta is not None:
            texts.append(event.delta.text)
            stop = event.delta.stop_reason or stop
            if event.delta.partial_json and event.index in calls:
                call = calls[event.index]
                calls[event.index] = msgspec.structs.replace(call, arguments=call.arguments + event.delta.partial_json)
    text = "".join(texts) if any(texts) or (texts and not calls) else None
    return Answer(
        text=text, finish_reason=_finish(stop), model=model, usage=_counted(counts), tool_calls=tuple(calls.values())
    )


def _finish(stop_reason: str | None) -> str:
    return FINISH_OF_STOP.get(stop_reason or "", stop_reason or "")


def _counted(given: list[_Usage | None]) -> Usage | None:
    """The last of each count: those of a stream's later events are totals. Cached tokens are beside the input's."""
    counts = {name: _last(given, name) for name in _Usage.__struct_fields__ if name != "cache_creation"}
    if counts["input_tokens"] is None or counts["output_tokens"] is None:
        return None
    hours = [usage.cache_creation for usage in given if usage is not None and usage.cache_creation is not None]
    read, written = counts["cache_read_input_tokens"] or 0, counts["cache_creation_input_tokens"] or 0
    return Usage(
        input=counts["input_tokens"] + read + written,
        cached=read,
        output=counts["output_tokens"],
        written=written,
        written_hour=min((hours[-1].ephemeral_1h_input_tokens or 0) if hours else 0, written),
    )


def _last(given: list[_Usage | None], name: str) -> int | None:
    found = [getattr(usage, name) for usage in given if usage is not None and getattr(usage, name) is not None]
    return max(int(found[-1]), 0) if found else None
