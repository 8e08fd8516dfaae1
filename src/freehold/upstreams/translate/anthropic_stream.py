"""Anthropic's stream → OpenAI's, event by event."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.errors import UpstreamProtocolError
from freehold.upstreams.translate.anthropic_answer import BLOCKS, MESSAGE, service_tier
from freehold.upstreams.translate.errors import event_to_openai
from freehold.upstreams.translate.rules import (
    COUNT,
    FIELDS,
    TEXT,
    At,
    Fields,
    Job,
    Out,
    by_type,
    is_null,
    refuse,
    settled,
    table,
    walked,
)
from freehold.upstreams.translate.sse import SseEvent, StreamTranslation, sse_data
from freehold.upstreams.translate.usage import usage_to_openai

KEEP_ALIVE = b": ping\n\n"
DONE = b"data: [DONE]\n\n"

MESSAGE_DELTA = table(
    "anthropic",
    "message_delta",
    [MESSAGE.rules[name] for name in ("stop_reason", "stop_sequence", "stop_details", "container")],
    unknown="drop",
)
DELTAS = table(
    "anthropic",
    "delta",
    (
        settled("text_delta", "choices[0].delta.content"),
        settled("input_json_delta", "choices[0].delta.tool_calls[0].function.arguments"),
        settled("thinking_delta", "choices[0].delta.reasoning_content"),
        settled("signature_delta", "choices[0].delta.thinking_blocks[0].signature", "at the block's end"),
        refuse("citations_delta", "OpenAI has no citations of documents.", "Ask without citations."),
    ),
)
_PIECES = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("tool_use", "partial_json"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
}
"""Of each type of delta the type of its block, and where its piece is."""


class _WordDelta(msgspec.Struct):
    type: Literal["text_delta"]
    text: str


class _Word(msgspec.Struct):
    """An event with a piece of text, as almost all are: read and written at once, for a third of what the tables
    cost."""

    type: Literal["content_block_delta"]
    index: int
    delta: _WordDelta


_WORD = msgspec.json.Decoder(_Word)
_PLACE = "\0"
"""Stands for the piece in the chunk that pieces are put into."""


class _Block:
    """A content block that has begun."""

    __slots__ = ("arguments", "call", "given", "kind", "signed")

    def __init__(self, kind: str, call: int, arguments: str, signed: Out | None) -> None:
        self.kind = kind
        self.call = call
        self.arguments = arguments
        """A call's input as its block's start gave it; used if no piece of it comes later."""
        self.given = False
        self.signed = signed
        """A thinking block, growing."""


class StreamToOpenAI(StreamTranslation):
    """Bytes of an Anthropic stream in, bytes of an OpenAI stream out; one object per answer.

    Put together, the chunks are what `answer_to_openai` makes of the whole message. Pings become comments; events of
    unknown types are passed over, as Anthropic asks of its clients.
    """

    def __init__(self, *, created: int, include_usage: bool = False) -> None:
        super().__init__()
        self._created = created
        self._include_usage = include_usage
        self._at = At(Job("openai", "answer"))
        self._head: Out = {}
        self._around = (b"", b"")
        """The bytes of a chunk before and after a piece of text."""
        self._usage: Fields = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._thoughts = 0
        self._ended = False
        self._handlers = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
        }

    def finish(self) -> bytes:
        """Call at the end of the upstream's bytes.

        Raises:
            UpstreamProtocolError: the stream ended before the answer did.
        """
        if not self._done:
            raise UpstreamProtocolError(
                "The upstream's stream ended before its answer was complete.", "Try again, or ask another upstream."
            )
        return b""

    def _event(self, event: SseEvent) -> None:
        if event.data is None:
            self._out.append(KEEP_ALIVE)
            return
        if self._head and self._is_word(event.data):
            return
        fields = self._at.read(event.data, FIELDS)
        kind = self._at.child("type").read(fields.get("type", msgspec.Raw(b"null")), TEXT)
        if kind == "ping":
            self._out.append(KEEP_ALIVE)
        elif kind == "error":
            self._out.append(sse_data(event_to_openai(event.data)))
            self._done = True
        elif kind in self._handlers:
            if not self._head and kind != "message_start":
                self._at.malformed("does not begin with message_start")
            self._handlers[kind](fields)

    def _is_word(self, data: bytes) -> bool:
        """Send the event, if it is a piece of a text block."""
        try:
            word = _WORD.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        block = self._blocks.get(word.index)
        if block is None or block.kind != "text":
            return False
        if word.delta.text:
            self._out += (self._around[0], msgspec.json.encode(word.delta.text), self._around[1])
        return True

    def _message_start(self, fields: Fields) -> None:
        at = self._at.child("message")
        message = self._object(fields, "message")
        self._usage = at.read(message.get("usage", msgspec.Raw(b"{}")), FIELDS)
        self._head = {"id": message.get("id"), "object": "chat.completion.chunk", "created": self._created}
        self._head["model"] = message.get("model")
        tier = service_tier(self._usage, at.child("usage"))
        if tier:
            self._head["service_tier"] = tier
        self._send({"role": "assistant", "content": ""})
        self._send({"content": _PLACE})
        before, _, after = self._out.pop().rpartition(msgspec.json.encode(_PLACE))
        self._around = (before, after)

    def _block_start(self, fields: Fields) -> None:
        at = self._at.child("content_block")
        raw = fields.get("content_block", msgspec.Raw(b"{}"))
        found = by_type(BLOCKS, raw, at)
        kind = at.read(at.read(raw, FIELDS)["type"], TEXT)
        calls = found.get("tool_calls")
        signed = found["thinking_blocks"][0] if "thinking_blocks" in found else None
        if signed and "thinking" in signed:
            signed = {**signed, "thinking": found.get("reasoning_content", "")}
        function: Out = calls[0]["function"] if calls else {}
        self._blocks[self._index(fields)] = _Block(kind, self._calls, function.get("arguments", ""), signed)
        if calls:
            self._call({**calls[0], "function": {**function, "arguments": ""}}, self._calls)
            self._calls += 1
        elif found.get("content"):
            self._send({"content": found["content"]})
        elif found.get("reasoning_content"):
            self._send({"reasoning_content": found["reasoning_content"]})

    def _block_delta(self, fields: Fields) -> None:
        block = self._block(fields)
        at = self._at.child("delta")
        raw = fields.get("delta", msgspec.Raw(b"{}"))
        by_type(DELTAS, raw, at)
        delta = at.read(raw, FIELDS)
        kind = at.read(delta["type"], TEXT)
        of, name = _PIECES[kind]
        if of != block.kind:
            at.malformed(f"is a {kind} in a block of type {block.kind}")
        piece = at.child(name).read(delta.get(name, msgspec.Raw(b"null")), TEXT)
        if not piece:
            return
        if kind == "text_delta":
            self._send({"content": piece})
        elif kind == "input_json_delta":
            block.given = True
            self._call({"function": {"arguments": piece}}, block.call)
        elif block.signed is not None:
            block.signed[name] = _text(block.signed.get(name, ""), at) + piece
            if kind == "thinking_delta":
                self._send({"reasoning_content": piece})

    def _block_stop(self, fields: Fields) -> None:
        block = self._block(fields)
        if block.arguments and not block.given:
            self._call({"function": {"arguments": block.arguments}}, block.call)
        if block.signed is not None:
            self._send({"thinking_blocks": [{"index": self._thoughts, **block.signed}]})
            self._thoughts += 1

    def _message_delta(self, fields: Fields) -> None:
        at = self._at.child("message_delta")
        usage = at.child("usage").read(fields.get("usage", msgspec.Raw(b"{}")), FIELDS)
        self._usage.update({name: raw for name, raw in usage.items() if not is_null(raw)})
        found = walked(MESSAGE_DELTA, self._object(fields, "delta"), at)
        if "refusal" in found:
            self._send({"refusal": found["refusal"]})
        if "finish_reason" in found:
            last: Out = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": found["finish_reason"]}
            if "stop_reason" in found:
                last["stop_reason"] = found["stop_reason"]
            self._chunk([last])
            self._ended = True

    def _message_stop(self, fields: Fields) -> None:
        if not self._ended:
            self._at.malformed("stops without a stop_reason")
        if self._include_usage:
            usage = usage_to_openai(self._usage, self._at.child("usage"))
            self._out.append(sse_data({**self._head, "choices": [], "usage": usage}))
        self._out.append(DONE)
        self._done = True

    def _send(self, delta: Out) -> None:
        self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _call(self, call: Out, index: int) -> None:
        self._send({"tool_calls": [{"index": index, **call}]})

    def _chunk(self, choices: list[Out]) -> None:
        chunk: Out = {**self._head, "choices": choices}
        if self._include_usage:
            chunk["usage"] = None
        self._out.append(sse_data(chunk))

    def _object(self, fields: Fields, name: str) -> Fields:
        return self._at.child(name).read(fields.get(name, msgspec.Raw(b"{}")), FIELDS)

    def _index(self, fields: Fields) -> int:
        return self._at.child("index").read(fields.get("index", msgspec.Raw(b"null")), COUNT)

    def _block(self, fields: Fields) -> _Block:
        block = self._blocks.get(self._index(fields))
        if block is None:
            self._at.child("index").malformed("names a content block that has not begun")
        return block


def _text(value: object, at: At) -> str:
    return at.read(value, TEXT) if isinstance(value, msgspec.Raw) else str(value)
