"""One keep-alive HTTP/1.1 connection to an upstream, carrying one exchange at a time."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from freehold.domain.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout
from freehold.upstreams.base import HOP_BY_HOP, Headers
from freehold.upstreams.openai.response import HttpResponse

MAX_HEADER_BYTES = 65_536
KEEP_IDLE_SECONDS = 30.0
"""An idle connection is closed after this long."""
LONGEST_TICK_SECONDS = 1.0
COPIED_BYTES = 65_536
"""Smaller bodies are copied behind their head: one plain write is cheaper than two gathered."""


class StaleConnection(UpstreamProtocolError):
    """A kept connection was closed before any byte of the answer came: the request may go out on a fresh one."""


class Timeouts:
    """Seconds a connection may take: to connect, to begin an answer, to continue one."""

    __slots__ = ("connect", "first_byte", "idle", "tick")

    def __init__(self, connect: float, first_byte: float, idle: float) -> None:
        self.connect = connect
        self.first_byte = first_byte
        self.idle = idle
        self.tick = min(LONGEST_TICK_SECONDS, first_byte / 4, idle / 4)


class Owner(Protocol):
    """The pool, as a connection sees it."""

    name: str

    def opened(self, connection: Connection) -> None:
        """The connection is up."""
        ...

    def idle(self, connection: Connection) -> None:
        """The exchange is over and the connection can carry another."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """An asyncio protocol that httptools parses for; deadlines are looked at by a coarse tick, not a timer each."""

    def __init__(self, owner: Owner, timeouts: Timeouts, loop: asyncio.AbstractEventLoop) -> None:
        self.usable = False
        self._owner = owner
        self._timeouts = timeouts
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: HttpResponse | None = None
        self._exchanges = 0
        self._deadline = loop.time() + KEEP_IDLE_SECONDS
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._forget()

    def _forget(self) -> None:
        """Reset what is known of one answer."""
        self._status = 0
        self._headers: Headers = []
        self._header_bytes = 0
        self._framed = False
        self._began = False
        self._complete = False
        self._surplus = False
        self._keep = False
        self._bodiless = False
        self._refused: str | None = None

    # What the upstream calls.

    def exchange(self, head: bytes, body: bytes, *, bodiless: bool = False) -> HttpResponse:
        """Send a request; its answer fills the response returned. `bodiless`: the answer has no body (HEAD)."""
        assert self._transport is not None and self._response is None
        self._forget()
        self._bodiless = bodiless
        self._exchanges += 1
        self._response = response = HttpResponse(self, self._loop)
        self._deadline = self._loop.time() + self._timeouts.first_byte
        if len(body) > COPIED_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)
        return response

    def pause(self) -> None:
        """Stop reading: the consumer is slow."""
        if self._transport is not None and self._response is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._deadline = self._loop.time() + self._timeouts.idle
            self._transport.resume_reading()

    def shut(self) -> None:
        """Cut the connection because the gateway stops; an answer under way fails."""
        self._fail(self._broken("the gateway is stopping"))

    def drop(self) -> None:
        """Cut the connection at once; nobody waits for its answer."""
        self.usable = False
        self._response = None
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True
        self._timer = self._loop.call_later(self._timeouts.tick, self._tick)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        response = self._response
        if response is None:  # nobody asked: whatever this is, it cannot be the next answer
            self.drop()
            return
        self._began = True
        self._deadline = self._loop.time() + self._timeouts.idle
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = "it switched to another protocol"
        except httptools.HttpParserError as error:
            self._refused = f"it sent what is not HTTP ({error})"
        if self._complete:
            self._finish(response)
        elif self._refused is not None:
            self._fail(self._broken(self._refused))
        response.wake()

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`; a half-closed peer will send nothing more, so the connection is closed."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.usable = False
        self._end(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._owner.lost(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self._surplus = self._complete  # a second answer to one request belongs to nobody

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools`."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refused = f"its headers are over {MAX_HEADER_BYTES} bytes"
            return
        name = name.lower()
        if name in HOP_BY_HOP:
            self._framed = self._framed or name == b"transfer-encoding"
            return
        self._framed = self._framed or name == b"content-length"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        self._status = self._parser.get_status_code()
        if self._status < 200 or self._response is None or self._surplus or self._refused is not None:
            return
        self._response.headers = self._headers
        self._response.status = self._status
        self._complete = self._bodiless  # and not kept: the parser would wait for a body that never comes

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        if self._response is not None and self._refused is None and not self._bodiless and not self._surplus:
            self._response.add(body)

    def on_message_complete(self) -> None:
        """See `httptools`."""
        if self._surplus or self._refused is not None:
            return
        if self._status >= 200:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
            return
        self._headers = []  # 100 Continue and its like: the answer proper is still to come
        self._header_bytes = 0
        self._framed = False

    # Endings.

    def _finish(self, response: HttpResponse) -> None:
        """The answer is complete: keep the connection if both sides may."""
        response.done = True
        keep = self._keep and not self._bodiless and not self._surplus and self._refused is None
        self._response = None
        if self._paused:
            self.resume()
        if keep and self._transport is not None and not self._transport.is_closing():
            self._deadline = self._loop.time() + KEEP_IDLE_SECONDS
            self._owner.idle(self)
        else:
            self.usable = False
            if self._transport is not None:
                self._transport.close()

    def _end(self, error: Exception | None = None) -> None:
        """Nothing more will come from the peer."""
        self.usable = False
        response = self._response
        if response is None:
            return
        if response.status and not self._framed and error is None:  # the end of the connection is the end of the body
            self._response = None
            response.done = True
            response.wake()
        elif not self._began and self._exchanges > 1:
            self._fail(StaleConnection(f"Upstream {self._owner.name!r} closed a kept connection.", "Try again."))
        else:
            self._fail(self._broken("it closed the connection before its answer was complete"))

    def _fail(self, error: UpstreamError) -> None:
        response, self._response = self._response, None
        self.usable = False
        if response is not None:
            response.fail(error)
        if self._transport is not None:
            self._transport.abort()

    def _broken(self, what: str) -> UpstreamProtocolError:
        return UpstreamProtocolError(
            f"Upstream {self._owner.name!r} broke off: {what}.", "Try again; if it persists, look at the upstream."
        )

    def _tick(self) -> None:
        late = not self._paused and self._loop.time() >= self._deadline
        if late and self._response is None:
            self.usable = False
            if self._transport is not None:
                self._transport.close()
            return
        if late:
            what, limit = ("continue", self._timeouts.idle) if self._began else ("begin", self._timeouts.first_byte)
            self._fail(
                UpstreamTimeout(
                    f"Upstream {self._owner.name!r} did not {what} its answer within {limit:g} seconds.",
                    "Try again, or raise its first_byte_timeout or idle_timeout.",
                )
            )
            return
        self._timer = self._loop.call_later(self._timeouts.tick, self._tick)
