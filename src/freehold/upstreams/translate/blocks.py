"""Anthropic's content blocks, written one after another from pieces that may come mixed."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.upstreams.translate.rules import FIELDS, TEXT, At, Out
from freehold.upstreams.translate.sse import sse_event

Kind = Literal["text", "thinking", "tool"]


class _Slot:
    """A block, and the pieces of it that have not been sent."""

    __slots__ = ("arguments", "changed", "kind", "opened", "pieces", "sealed", "start", "words")

    def __init__(self, kind: Kind, start: Out) -> None:
        self.kind = kind
        self.start = start
        self.opened = False
        self.pieces: list[Out] = []
        self.arguments: list[str] = []
        self.words: list[str] = []
        self.changed = False
        self.sealed = False
        """Nothing more is added: what comes next is another block."""

    def is_complete(self) -> bool:
        """Whether nothing more can come: any text, but of a call only a whole JSON object."""
        if self.kind != "tool":
            return True
        if not self.changed:
            return False
        self.changed = False
        try:
            FIELDS.decode("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class BlockWriter:
    """Events of content blocks.

    Anthropic's blocks follow one another, while OpenAI may mix the pieces of several calls: a block is live until it is
    complete, and the pieces of the blocks after it wait.
    """

    def __init__(self, out: list[bytes]) -> None:
        self._out = out
        self._index = 0
        self._queue: list[_Slot] = []
        self._calls: dict[int, _Slot] = {}
        self.called = False
        """Whether a tool was called."""

    def text(self, piece: msgspec.Raw | str) -> None:
        """A piece of the answer's text."""
        slot = self._last("text", {"type": "text", "text": ""})
        slot.pieces.append({"type": "text_delta", "text": piece})
        self._pump()

    def thinking(self, piece: str) -> None:
        """A piece of reasoning."""
        slot = self._last("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        slot.words.append(piece)
        slot.pieces.append({"type": "thinking_delta", "thinking": piece})
        self._pump()

    def signed(self, block: Out, at: At) -> None:
        """A whole block of signed reasoning; where its words have been streamed, only its signature is new."""
        if "thinking" not in block:
            self._seal(_Slot("thinking", block))
            return
        words = at.child("thinking").read(block["thinking"], TEXT)
        slot = self._queue[-1] if self._queue else None
        if slot is None or slot.kind != "thinking" or slot.sealed or "".join(slot.words) != words:
            slot = _Slot("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            slot.pieces.append({"type": "thinking_delta", "thinking": words})
        slot.pieces.append({"type": "signature_delta", "signature": block["signature"]})
        self._seal(slot)

    def call(self, index: int, identity: str | None, name: str | None, arguments: str, at: At) -> None:
        """A piece of a tool call; its first piece has the id and name."""
        slot = self._calls.get(index)
        if slot is None or (identity and name and identity != slot.start["id"]):
            if not identity or not name:
                at.malformed("begins a tool call without id or name")
            slot = _Slot("tool", {"type": "tool_use", "id": identity, "name": name, "input": {}})
            self._calls[index] = slot
            self._queue.append(slot)
            self.called = True
        if arguments:
            if slot not in self._queue and arguments.strip():
                at.malformed("goes on after a call's arguments were complete")
            slot.arguments.append(arguments)
            slot.changed = True
            slot.pieces.append({"type": "input_json_delta", "partial_json": arguments})
        self._pump()

    def finish(self) -> None:
        """Send everything that waits, and end the last block."""
        while self._queue:
            self._open(self._queue[0])
            self._close()

    def _seal(self, slot: _Slot) -> None:
        slot.sealed = True
        if slot not in self._queue:
            self._queue.append(slot)
        self._pump()

    def _last(self, kind: Kind, start: Out) -> _Slot:
        slot = self._queue[-1] if self._queue else None
        if slot is None or slot.kind != kind or slot.sealed:
            slot = _Slot(kind, start)
            self._queue.append(slot)
        return slot

    def _pump(self) -> None:
        while self._queue:
            self._open(self._queue[0])
            if len(self._queue) == 1 or not self._queue[0].is_complete():
                return
            self._close()

    def _open(self, slot: _Slot) -> None:
        if not slot.opened:
            slot.opened = True
            start: Out = {"type": "content_block_start", "index": self._index, "content_block": slot.start}
            self._out.append(sse_event(start))
        for piece in slot.pieces:
            self._out.append(sse_event({"type": "content_block_delta", "index": self._index, "delta": piece}))
        slot.pieces.clear()

    def _close(self) -> None:
        self._out.append(sse_event({"type": "content_block_stop", "index": self._index}))
        self._index += 1
        self._queue.pop(0)
