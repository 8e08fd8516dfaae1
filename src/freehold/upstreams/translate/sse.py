"""Server-sent events, as they come: bytes in, events out, however the bytes are cut (WHATWG HTML standard)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import msgspec

from freehold.domain.errors import UpstreamProtocolError
from freehold.upstreams.translate.rules import Out

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A longer event is not waited for."""


class SseEvent(msgspec.Struct, frozen=True):
    """One event's name and data; `data` is None for a comment, which servers send to keep a connection alive."""

    name: bytes
    data: bytes | None


class SseParser:
    """Cuts a stream into events. Lines may end in LF, CR or CRLF."""

    __slots__ = ("_data", "_first", "_limit", "_name", "_rest", "_size", "_skip_lf")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._rest: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._name = b""
        self._skip_lf = False
        self._first = True

    def feed(self, data: bytes) -> list[SseEvent]:
        """All events that end in `data`.

        Raises:
            UpstreamProtocolError: an event is longer than the limit.
        """
        if self._skip_lf and data.startswith(b"\n"):
            data = data[1:]
            self._skip_lf = False
        if not data:
            return []
        self._skip_lf = data.endswith(b"\r")
        self._size += len(data)
        if b"\n" not in data and b"\r" not in data:
            self._rest.append(data)
            self._check()
            return []
        lines = b"".join((*self._rest, data)).splitlines(keepends=True)
        self._rest = [] if lines[-1].endswith((b"\n", b"\r")) else [lines.pop()]
        found: list[SseEvent] = []
        for line in lines:
            self._line(line.rstrip(b"\r\n"), found)
        self._size = sum(map(len, self._rest)) + sum(map(len, self._data))
        self._check()
        return found

    def _line(self, line: bytes, found: list[SseEvent]) -> None:
        if self._first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        if not line:
            if self._data:
                found.append(SseEvent(self._name, b"\n".join(self._data)))
            self._data, self._name = [], b""
            return
        if line.startswith(b":"):
            found.append(SseEvent(b"", None))
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value

    def _check(self) -> None:
        if self._size > self._limit:
            raise UpstreamProtocolError(
                f"The upstream sent an event of more than {self._limit} bytes.", "Ask for less, or another upstream."
            )


def sse_data(document: Out) -> bytes:
    """An event without a name, as OpenAI sends them."""
    return b"data: " + _one_line(document) + b"\n\n"


def sse_event(document: Out) -> bytes:
    """An event named by its `type`, as Anthropic sends them."""
    return b"event: " + str(document["type"]).encode() + b"\n" + sse_data(document)


def _one_line(document: Out) -> bytes:
    encoded = msgspec.json.encode(document)
    if b"\n" in encoded or b"\r" in encoded:  # only white space between values that travelled unread
        encoded = encoded.replace(b"\n", b" ").replace(b"\r", b" ")
    return encoded


class StreamTranslation(ABC):
    """Bytes of one protocol's stream in, bytes of another's out; one object per answer. `_event` says how."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._out: list[bytes] = []
        """What is to be sent next."""
        self._done = False
        """The answer is complete; what still comes is not looked at."""

    def feed(self, data: bytes) -> bytes:
        """What the caller is to be sent for these bytes; may be empty.

        Raises:
            AnswerNotTranslatable: an event is malformed or holds content that the caller's protocol cannot say.
            UpstreamProtocolError: an event is too long.
        """
        for event in self._parser.feed(data):
            if not self._done:
                self._event(event)
        return self.rest()

    def rest(self) -> bytes:
        """What was translated before `feed` raised."""
        sent = b"".join(self._out)
        self._out.clear()
        return sent

    @abstractmethod
    def _event(self, event: SseEvent) -> None: ...
