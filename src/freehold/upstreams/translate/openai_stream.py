"""OpenAI's stream → Anthropic's, chunk by chunk."""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from freehold.domain.errors import UpstreamProtocolError
from freehold.upstreams.translate.blocks import BlockWriter
from freehold.upstreams.translate.errors import event_to_anthropic
from freehold.upstreams.translate.openai_answer import CHOICE, COMPLETION, MESSAGE, stopped
from freehold.upstreams.translate.rules import (
    FIELDS,
    OBJECTS,
    TEXT,
    At,
    Fields,
    Job,
    Out,
    convert,
    is_null,
    same,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.sse import SseEvent, StreamTranslation, sse_event
from freehold.upstreams.translate.usage import usage_to_anthropic

PING = sse_event({"type": "ping"})
_DONE = b"[DONE]"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    type: str | None = None


class _WordDelta(msgspec.Struct, forbid_unknown_fields=True):
    content: str


class _WordChoice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _WordDelta
    index: Literal[0] = 0
    logprobs: None = None
    finish_reason: None = None
    stop_reason: None = None


class _Word(msgspec.Struct):
    """A chunk of text and nothing else, as almost all are: read at once, for a quarter of what the tables cost."""

    choices: tuple[_WordChoice]
    usage: None = None
    error: None = None
    moderation: None = None


_WORD = msgspec.json.Decoder(_Word)
_CALLS = msgspec.json.Decoder(list[_Call])


def _pieces(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["pieces"] = at.read(raw, _CALLS)
    for index, call in enumerate(out["pieces"]):
        if call.type not in (None, "function"):
            at.item(index).refuse(f"Anthropic has no calls of type {call.type!r}.", "Ask with function tools only.")


def _delta(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(DELTA, at.read(raw, FIELDS), out, at)


DELTA = table(
    "openai",
    "delta",
    [rule for rule in MESSAGE.rules.values() if rule.field != "tool_calls"]
    + [convert("tool_calls", "content_block_delta", _pieces, "pieces of calls, by their index")],
    unknown="drop",
)
STREAM_CHOICE = table(
    "openai",
    "chunk's choice",
    [rule for rule in CHOICE.rules.values() if rule.field != "message"]
    + [convert("delta", "content_block_delta", _delta)],
    unknown="drop",
)
CHUNK = table(
    "openai",
    "chunk",
    [rule for rule in COMPLETION.rules.values() if rule.field != "choices"] + [same("choices")],
    unknown="drop",
)


class StreamToAnthropic(StreamTranslation):
    """Bytes of an OpenAI stream in, bytes of an Anthropic stream out; one object per answer.

    Put together, the events are what `answer_to_anthropic` makes of the whole completion, save that text which comes
    after a tool call stays there. The counts of tokens come at the end, where OpenAI sends them, and only if the
    request asked for them (`request_to_openai` does). Comments become pings.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at = At(Job("anthropic", "answer"))
        self._blocks = BlockWriter(self._out)
        self._begun = False
        self._stop: Out = {}
        self._refusal = ""
        self._usage: Out = {}

    def finish(self) -> bytes:
        """Call at the end of the upstream's bytes: some servers never say [DONE].

        Raises:
            UpstreamProtocolError: the stream ended before the answer did.
        """
        if not self._done:
            self._end()
        return self.rest()

    def _event(self, event: SseEvent) -> None:
        if event.data is None:
            self._out.append(PING)
            return
        if event.data == _DONE:
            self._end()
            return
        if self._begun and self._is_word(event.data):
            return
        fields = self._at.read(event.data, FIELDS)
        if "error" in fields and not is_null(fields["error"]):
            self._out.append(sse_event(event_to_anthropic(event.data)))
            self._done = True
            return
        self._chunk(fields)

    def _is_word(self, data: bytes) -> bool:
        """Send the chunk, if it is one of text only."""
        try:
            piece = _WORD.decode(data).choices[0].delta.content
        except (msgspec.DecodeError, RecursionError):
            return False
        if piece:
            self._blocks.text(piece)
        return bool(piece)

    def _chunk(self, fields: Fields) -> None:
        found = walked(CHUNK, fields, self._at)
        if "usage" in found:
            self._usage = found["usage"]
        at = self._at.child("choices")
        choices = at.read(found.get("choices", msgspec.Raw(b"[]")), OBJECTS)
        if len(choices) > 1:
            at.refuse("Anthropic's messages are one answer.", "Ask with n = 1.")
        if choices:
            if not self._begun:
                self._begin(found)
            self._choice(choices[0], at.item(0))

    def _begin(self, found: Out) -> None:
        self._begun = True
        usage: Out = {"input_tokens": 0, "output_tokens": 0}
        if "service_tier" in found:
            usage["service_tier"] = found["service_tier"]
        message: Out = {"id": found.get("id", ""), "type": "message", "role": "assistant"}
        message.update(model=found.get("model", ""), content=[])
        message.update(stop_reason=None, stop_sequence=None, stop_details=None, usage=usage)
        self._out.append(sse_event({"type": "message_start", "message": message}))

    def _choice(self, fields: Fields, at: At) -> None:
        found = walked(STREAM_CHOICE, fields, at)
        self._think(found, at)
        for block in found.get("text", ()):
            self._blocks.text(block["text"])
        for position, call in enumerate(cast("list[_Call]", found.get("pieces", ()))):
            function = call.function or _Function()
            index = position if call.index is None else call.index
            self._blocks.call(index, call.id, function.name, function.arguments or "", at.child("delta.tool_calls"))
        if "refusal" in found:
            self._refusal += at.read(found["refusal"], TEXT)
        for name in ("finish_reason", "stop_sequence"):
            if name in found:
                self._stop[name] = found[name]

    def _think(self, found: Out, at: At) -> None:
        for block in found.get("thinking", ()):
            self._blocks.thinking(block["thinking"])
        for block in found.get("signed", ()):
            self._blocks.signed(block, at.child("delta.thinking_blocks"))

    def _end(self) -> None:
        if "finish_reason" not in self._stop:
            raise UpstreamProtocolError(
                "The upstream's stream ended before its answer was complete.", "Try again, or ask another upstream."
            )
        self._blocks.finish()
        if self._refusal:
            self._stop["refusal"] = self._refusal
        usage = self._usage or usage_to_anthropic({}, self._at)
        delta = stopped(self._stop, called=self._blocks.called)
        self._out.append(sse_event({"type": "message_delta", "delta": delta, "usage": usage}))
        self._out.append(sse_event({"type": "message_stop"}))
        self._done = True
