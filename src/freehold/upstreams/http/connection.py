"""One keep-alive HTTP/1.1 connection to an upstream, carrying one exchange at a time (RFC 9110, RFC 9112)."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from freehold.domain.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout
from freehold.upstreams.base import HOP_BY_HOP, Headers, Sink

MAX_HEADER_BYTES = 65_536
KEEP_IDLE_SECONDS = 30.0
"""An idle connection is closed after this long."""
LONGEST_TICK_SECONDS = 1.0
COPIED_BYTES = 65_536
"""Smaller bodies are copied behind their head: one plain write is cheaper than two gathered."""
KNOWN_NAMES = 1024
"""Header names whose verdict is remembered: upstreams send the same few ever again."""

_CONTENT_LENGTH = b"content-length"
_verdicts: dict[bytes, bytes] = {}
"""A header's name as sent → lower-case, or `b""` if it is hop-by-hop."""


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
        """How often deadlines are looked at."""


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
    """An asyncio protocol that httptools parses for. Its pool looks at its deadline now and then: no timer each."""

    __slots__ = (
        "_bodiless",
        "_complete",
        "_deadline",
        "_exchanges",
        "_framed",
        "_headers",
        "_keep",
        "_listed",
        "_loop",
        "_owner",
        "_parser",
        "_parts",
        "_paused",
        "_refused",
        "_replied",
        "_silent_bytes",
        "_sink",
        "_status",
        "_surplus",
        "_timeouts",
        "_told",
        "_transport",
        "usable",
    )

    def __init__(self, owner: Owner, timeouts: Timeouts, loop: asyncio.AbstractEventLoop) -> None:
        self.usable = False
        """Whether it can carry an exchange, now or when the one under way is over."""
        self._owner = owner
        self._timeouts = timeouts
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._sink: Sink | None = None
        self._exchanges = 0
        self._deadline = loop.time() + KEEP_IDLE_SECONDS
        self._paused = False
        self._bodiless = False
        self._forget()

    def _forget(self) -> None:
        """Reset what is known of one answer."""
        self._status = 0
        self._headers: Headers = []
        self._listed: list[bytes] = []
        self._parts: list[bytes] = []
        self._silent_bytes = 0
        self._framed = False
        self._replied = False
        self._told = False
        self._complete = False
        self._surplus = False
        self._keep = False
        self._refused: str | None = None

    # What the upstream calls.

    def alive(self) -> bool:
        """Whether it can carry an exchange now: a broken transport says so before the loop tells of its loss."""
        return self.usable and self._transport is not None and not self._transport.is_closing()

    def exchange(self, head: bytes, body: bytes, sink: Sink, *, bodiless: bool = False) -> None:
        """Send a request; its answer goes to `sink`, in later turns of the loop. `bodiless`: it has no body (HEAD)."""
        assert self._transport is not None and self._sink is None
        self._forget()
        self._bodiless = bodiless
        self._exchanges += 1
        self._sink = sink
        self._deadline = self._loop.time() + self._timeouts.first_byte
        if len(body) > COPIED_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)

    def pause(self) -> None:
        """Stop reading: the consumer is slow."""
        if self._transport is not None and self._sink is not None and not self._paused:
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
        self._sink = None
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """Close what has been idle, and fail what has been silent, for too long (called now and then by the pool)."""
        if self._paused or now < self._deadline:
            return
        if self._sink is None:
            self.usable = False
            if self._transport is not None:
                self._transport.close()
            return
        what, limit = ("continue", self._timeouts.idle) if self._told else ("begin", self._timeouts.first_byte)
        self._fail(
            UpstreamTimeout(
                f"Upstream {self._owner.name!r} did not {what} its answer within {limit:g} seconds.",
                "Try again, or raise its first_byte_timeout or idle_timeout.",
            )
        )

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        sink = self._sink
        if sink is None:  # nobody asked: whatever this is, it cannot be the next answer
            self.drop()
            return
        self._replied = True
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = self._refused or "it switched to another protocol"
        except httptools.HttpParserError as error:
            self._refused = self._refused or f"it sent what is not HTTP ({error})"
        parts = self._parts
        begins = self._status and not self._told
        if parts or begins:  # bytes that bring neither are no progress: a head that trickles ends in time, too
            self._silent_bytes = 0
            self._deadline = self._loop.time() + self._timeouts.idle
        elif self._silent_bytes > MAX_HEADER_BYTES and not self._complete:  # an endless head, trailer or chunk header
            self._refused = self._refused or f"its headers are over {MAX_HEADER_BYTES} bytes"
        if begins:
            self._told = True
            sink.begin(self._owner.name, self._status, self._headers)
            if self._sink is not sink:
                return  # cancelled meanwhile
        if self._told:
            self._push(sink, parts, begins=bool(begins))
        elif self._refused is not None:
            self._fail(self._broken(self._refused))

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`; a half-closed peer will send nothing more, so the connection is closed."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.usable = False
        self._end(exc)
        self._transport = None
        self._owner.lost(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self._surplus = self._complete  # a second answer to one request belongs to nobody

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools`."""
        if self._status:
            return  # a trailer, which is not passed on, or of a surplus answer
        known = _verdicts.get(name)
        if known is None:
            known = _judge(name)
        if known:
            if known is _CONTENT_LENGTH:
                self._framed = True
            self._headers.append((known, value))
        else:
            self._hop_header(name.lower(), value)

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        if self._status:
            return
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and its like: the answer proper is still to come
            if status < 100:
                self._refused = f"its answer has the status {status}"
            return
        if self._silent_bytes > MAX_HEADER_BYTES:  # perhaps: a read may hold much of the body, too
            size = sum(len(name) + len(value) for name, value in self._headers)
            if size > MAX_HEADER_BYTES:
                self._refused = f"its headers are over {MAX_HEADER_BYTES} bytes"
        if self._refused is not None:
            return
        if self._listed:
            self._headers = [header for header in self._headers if header[0] not in self._listed]
        self._status = status
        self._complete = self._bodiless  # and not kept: the parser would wait for a body that never comes

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        if not self._complete and self._status:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """See `httptools`."""
        if self._complete:
            return
        if self._status:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
        else:
            self._headers = []
            self._listed = []
            self._framed = False

    def _hop_header(self, name: bytes, value: bytes) -> None:
        """Note what a header that is not passed on says of this connection (RFC 9110, 7.6.1; RFC 9112, 6.1)."""
        if name == b"transfer-encoding":
            self._framed = True
            if value.strip().lower() != b"chunked":
                self._refused = "it used a transfer coding that was not asked for"
        elif name == b"connection" and value not in (b"keep-alive", b"close"):
            self._listed += (option.strip().lower() for option in value.split(b","))

    # Endings.

    def _push(self, sink: Sink, parts: list[bytes], *, begins: bool) -> None:
        """Hand on what one read of the socket brought."""
        if parts:
            self._parts = []
            chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        else:
            chunk = b""
        if self._complete:
            self._finish()
            sink.data(chunk, True)
        elif self._refused is not None:
            refused = self._broken(self._refused)
            if chunk or begins:
                sink.data(chunk, False)
            if self._sink is sink:
                self._fail(refused)
        elif chunk or begins:
            sink.data(chunk, False)

    def _finish(self) -> None:
        """The answer is complete: keep the connection if both sides may, and the whole request has gone out."""
        self._sink = None
        if self._paused:
            self.resume()
        transport = self._transport
        if transport is None:
            return
        unkept = self._surplus or self._bodiless or self._refused is not None
        if self._keep and not unkept and not transport.is_closing() and not transport.get_write_buffer_size():
            self._deadline = self._loop.time() + KEEP_IDLE_SECONDS
            self._owner.idle(self)
        else:
            self.usable = False
            transport.close()

    def _end(self, error: Exception | None = None) -> None:
        """Nothing more will come from the peer."""
        self.usable = False
        sink = self._sink
        if sink is None:
            return
        if self._told and not self._framed and error is None:  # the end of the connection is the end of the body
            self._sink = None
            sink.data(b"", True)
        elif not self._replied and self._exchanges > 1:
            self._fail(StaleConnection(f"Upstream {self._owner.name!r} closed a kept connection.", "Try again."))
        else:
            self._fail(self._broken("it closed the connection before its answer was complete"))

    def _fail(self, error: UpstreamError) -> None:
        sink, self._sink = self._sink, None
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
        if sink is not None:
            sink.fail(error)

    def _broken(self, what: str) -> UpstreamProtocolError:
        return UpstreamProtocolError(
            f"Upstream {self._owner.name!r} broke off: {what}.", "Try again; if it persists, look at the upstream."
        )


def _judge(name: bytes) -> bytes:
    """A header's lower-case name, or `b""` if it is hop-by-hop; remembered, as long as there are not too many."""
    lower = name.lower()
    if lower == _CONTENT_LENGTH:
        lower = _CONTENT_LENGTH  # the very object: `on_header` looks at no more
    verdict = b"" if lower in HOP_BY_HOP else lower
    if len(_verdicts) < KNOWN_NAMES:
        _verdicts[name] = verdict
    return verdict
