"""Answers of one protocol on their way to a caller of the other, translated as they come.

Streams go event by event; an event may have up to `freehold.upstreams.translate.sse.MAX_EVENT_BYTES`. Whole answers
and errors are short and wait for their end. What breaks off breaks off for the caller too, after what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

from freehold.domain.errors import AnswerNotTranslatable, UpstreamError, UpstreamProtocolError
from freehold.upstreams.anthropic.headers import headers_to_anthropic, headers_to_openai
from freehold.upstreams.base import Call, Headers, Sink
from freehold.upstreams.translate import (
    StreamToAnthropic,
    StreamToOpenAI,
    answer_to_anthropic,
    answer_to_openai,
    error_to_anthropic,
    error_to_openai,
)

MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""A longer answer in one piece is not waited for."""
DROPPED = b"x-freehold-dropped"
"""Names the request's fields that were left out because the answer does not depend on them."""
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_MAX_NAMED = 1000


class _Stream(Protocol):
    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def rest(self) -> bytes: ...


class Translating:
    """What both directions share (a `freehold.upstreams.base.Sink`); a subclass says what becomes of what."""

    __slots__ = ("_clock", "_dropped", "_head", "_mode", "_over", "_parts", "_sink", "_size", "_stream", "call")

    def __init__(self, sink: Sink, *, dropped: tuple[str, ...], clock: Callable[[], float] = time.time) -> None:
        """`dropped`: fields of the request that were left out; the caller is told."""
        self.call: Call | None = None
        """What is cancelled when an answer cannot be translated."""
        self._sink = sink
        self._dropped = dropped
        self._clock = clock
        self._head: tuple[str, int, Headers] = ("", 0, [])
        self._mode: Literal["as it is", "stream", "whole", "error", "packed"] = "as it is"
        self._stream: _Stream | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._over = False

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`."""
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        self._head = (upstream, status, self._headers(headers))
        if 300 <= status < 400:
            self._sink.begin(upstream, status, headers)
        elif any(name == b"content-encoding" and value != b"identity" for name, value in headers):
            self._mode = "packed"
        elif status < 300 and kind.startswith(b"text/event-stream"):
            self._mode, self._stream = "stream", self._new_stream()
            self._sink.begin(upstream, status, [*self._head[2], _EVENTS, *self._said()])
        else:
            self._mode = "whole" if status < 300 else "error"

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if self._over:
            return
        if last:
            self.call = None  # it holds this sink: leave no cycle
        if self._stream is not None:
            self._flow(self._stream, chunk, last)
        elif self._mode == "as it is":
            self._sink.data(chunk, last)
        elif self._mode == "packed":
            self._give_up(
                AnswerNotTranslatable(
                    f"Upstream {self._head[0]!r} compressed its answer, though it was asked not to.",
                    "Ask an upstream that speaks the protocol of your request.",
                )
            )
        else:
            self._gather(chunk, last)

    def fail(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if not self._over:
            self._over, self.call = True, None
            self._sink.fail(error)

    def _flow(self, stream: _Stream, chunk: bytes, last: bool) -> None:
        try:
            out = stream.feed(chunk)
            if last:
                out += stream.finish()
        except UpstreamError as error:
            self._sink.data(stream.rest(), False)
            self._give_up(error)
        else:
            self._sink.data(out, last)

    def _gather(self, chunk: bytes, last: bool) -> None:
        self._size += len(chunk)
        if self._size > MAX_WHOLE_BYTES:
            self._give_up(
                UpstreamProtocolError(
                    f"Upstream {self._head[0]!r} gave an answer of more than {MAX_WHOLE_BYTES} bytes in one piece.",
                    "Ask for a stream, or for less.",
                )
            )
            return
        self._parts.append(chunk)
        if last:
            self._whole(b"".join(self._parts))

    def _whole(self, given: bytes) -> None:
        upstream, status, headers = self._head
        try:
            status, body = self._error(status, given) if self._mode == "error" else (status, self._answer(given))
        except UpstreamError as error:
            self._give_up(error)
            return
        self._over = True
        length = (b"content-length", b"%d" % len(body))
        self._sink.begin(upstream, status, [*headers, _JSON, length, *self._said()])
        self._sink.data(body, True)

    def _give_up(self, error: UpstreamError) -> None:
        self._parts = []
        if self.call is not None:
            self.call.cancel()
        self.fail(error)

    def _said(self) -> Headers:
        if not self._dropped:
            return []
        return [(DROPPED, ", ".join(self._dropped)[:_MAX_NAMED].encode("ascii", errors="replace"))]

    def _headers(self, headers: Headers) -> Headers:
        raise NotImplementedError

    def _new_stream(self) -> _Stream:
        raise NotImplementedError

    def _answer(self, body: bytes) -> bytes:
        raise NotImplementedError

    def _error(self, status: int, body: bytes) -> tuple[int, bytes]:
        raise NotImplementedError


class ToOpenAI(Translating):
    """An Anthropic upstream's answer for an OpenAI caller."""

    __slots__ = ("_created", "_include_usage")

    def __init__(
        self,
        sink: Sink,
        *,
        created: int,
        include_usage: bool,
        dropped: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`created`: the time that the answer names, in seconds since 1970; `include_usage`: at a stream's end."""
        super().__init__(sink, dropped=dropped, clock=clock)
        self._created = created
        self._include_usage = include_usage

    def _headers(self, headers: Headers) -> Headers:
        return headers_to_openai(headers, self._clock())

    def _new_stream(self) -> StreamToOpenAI:
        return StreamToOpenAI(created=self._created, include_usage=self._include_usage)

    def _answer(self, body: bytes) -> bytes:
        return answer_to_openai(body, created=self._created).body

    def _error(self, status: int, body: bytes) -> tuple[int, bytes]:
        made = error_to_openai(status, body)
        return made.status, made.body


class ToAnthropic(Translating):
    """An OpenAI upstream's answer for an Anthropic caller."""

    __slots__ = ()

    def __init__(self, sink: Sink, *, dropped: tuple[str, ...] = (), clock: Callable[[], float] = time.time) -> None:
        super().__init__(sink, dropped=dropped, clock=clock)

    def _headers(self, headers: Headers) -> Headers:
        return headers_to_anthropic(headers, self._clock())

    def _new_stream(self) -> StreamToAnthropic:
        return StreamToAnthropic()

    def _answer(self, body: bytes) -> bytes:
        return answer_to_anthropic(body).body

    def _error(self, status: int, body: bytes) -> tuple[int, bytes]:
        made = error_to_anthropic(status, body)
        return made.status, made.body
