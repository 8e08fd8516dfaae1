"""One connection of a caller's: HTTP/1.1 parsed by httptools, plain calls to the application, under uvicorn's server.

uvicorn's own protocol makes a task, an event and three messages for every request, which costs more than all else
that the gateway does. Here a request is a call of `Application.answer`, and its answer calls of `Reply`. There are no
upgrades, heads are bounded in bytes and in time, and bodies are read whole, within a limit, before they are answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol, cast

import httptools
import uvicorn
from uvicorn.server import ServerState

from freehold.domain.errors import BodyTooLarge, FreeholdError, HeadTooLarge, RequestError, VersionNotSupported
from freehold.gateway.http.repeated import Repeated, remember
from freehold.gateway.http.reply import Reply
from freehold.gateway.http.request import Address, Request
from freehold.upstreams.base import Headers

MAX_HEAD_BYTES = 65_536
"""Of a request's line and headers."""
HEAD_SECONDS = 30.0
"""A head that takes longer to come is given up: slow senders must not hold connections."""
BODY_SECONDS = 60.0
"""A body of which nothing comes for so long is given up."""
TICK_SECONDS = 5.0
MOST_MISSES = 8
"""Heads of one connection that are learned; the rest are not worth it."""
LINGER_SECONDS = 1.0
"""After a refusal, for what the caller still sends."""
MAX_PIPELINED = 32
"""Requests sent ahead of their answers on one connection before it is read no further."""
_VERSIONS = frozenset(("1.1", "1.0"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_NOTED = frozenset((b"content-length", b"expect", b"upgrade"))
"""Headers that the connection itself must look at."""
_OFFER = frozenset((b"connection", b"upgrade", b"http2-settings"))
_lower: dict[bytes, bytes] = {}
"""Header names as callers write them → lower case; there are few."""


class Application(Protocol):
    """What answers."""

    max_body_bytes: int
    connections: int
    """Callers' connections that are open; the protocol counts."""

    def head(self, request: Request) -> None:
        """The head has come.

        Raises:
            FreeholdError: the request is refused, whatever its body.
        """
        ...

    def answer(self, request: Request, reply: Reply) -> None:
        """The whole request has come. Must not raise; whoever needs the body later than in this call keeps it."""
        ...

    def holds(self, request: Request) -> bool:
        """Whether what was found of this request's head holds for another with the same head now."""
        ...

    def refuse(self, error: FreeholdError, request: Request | None, reply: Reply) -> None:
        """Answer a request that could not be read or was refused by its head; the connection is closed after it.

        `request`: as far as it came; None if not even its head could be read.
        """
        ...


class HttpProtocol(asyncio.Protocol):
    """uvicorn makes it, counts it among its connections, and asks it to shut down."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn calls it."""
        if not config.loaded:
            config.load()
        self._app: Application = cast(Any, config).loaded_app
        self._loop = _loop or asyncio.get_running_loop()
        self._connections = cast("set[Any]", server_state.connections)
        self._keep_alive = float(config.timeout_keep_alive)
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client: Address = None
        self._answering: Reply | None = None
        self._waiting: deque[tuple[Request, Reply]] = deque()
        """Requests that came before an earlier one was answered (pipelining)."""
        self._closing = False
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._refused: FreeholdError | None = None
        self._arriving: Request | None = None
        """The request whose body is still coming."""
        self._in_head = False
        self._target = b""
        self._headers: Headers = []
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._bodiless_bytes = 0
        """Since the last byte of the body that is coming."""
        self._known: Repeated | None = None
        """The last head, to know it again."""
        self._misses = 0
        """How often it was another: some callers never repeat theirs."""
        self._ended: Request | None = None
        """The only request that ended with what was read last."""
        self._expects = False
        self._announced = b""
        self._upgrades = False
        self._offered = False
        """The request that is being read offers to change protocols, and is read again."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        peer: tuple[Any, ...] = transport.get_extra_info("peername") or ()
        self._client = (str(peer[0]), int(peer[1])) if len(peer) > 1 else None
        self._connections.add(self)
        self._app.connections += 1
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._refused is not None or (self._closing and self._arriving is None):
            return  # what nobody will read is thrown away
        if self._in_head:
            self._head_bytes += len(data)  # and its time runs from its beginning: a byte now and then does not help
        else:
            self._head_bytes = len(data)
            self._since = self._loop.time()
            known = self._known
            if known is not None and self._arriving is None and self._answering is None:
                body = known.body_of(data)
                if body is not None and self._answer_again(known.request, body):
                    return
        body_bytes, begins, self._ended = self._body_bytes, not self._in_head and self._arriving is None, None
        self._feed(data)
        if begins and self._misses < MOST_MISSES:
            self._learn(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refused = self._refused or _head_too_large()
        elif self._arriving is not None:
            self._bodiless_bytes = self._bodiless_bytes + len(data) if body_bytes == self._body_bytes else 0
            if self._bodiless_bytes > MAX_HEAD_BYTES:  # extensions of a chunk, or trailers
                self._refused = self._refused or _head_too_large()
        if self._refused is not None:
            self._refuse()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`: a caller that has closed its side is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self._connections.discard(self)
        self._app.connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        if self._answering is not None:
            self._answering.lost()
            self._answering = None

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: the caller reads slowly."""
        if self._answering is not None and self._answering.listener is not None:
            self._answering.listener.pause()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._answering is not None and self._answering.listener is not None:
            self._answering.listener.resume()

    # What uvicorn calls.

    def shutdown(self) -> None:
        """End after the answer under way, or now."""
        self._closing = True
        if self._answering is None and self._arriving is None:
            self._close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self._in_head = True
        self._target, self._headers, self._expects, self._announced = b"", [], False, b""
        self._upgrades = False

    def on_url(self, url: bytes) -> None:
        """See `httptools`; a long one comes in parts."""
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools`."""
        lower = _lower.get(name) or _remember(name)
        self._headers.append((lower, value))
        if lower in _NOTED:
            self._note(lower, value)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._announced = value
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
        else:
            self._upgrades = True

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        self._in_head = False
        if self._refused is not None:
            return
        parser = self._parser
        if self._upgrades and parser.should_upgrade() and parser.get_method() != b"CONNECT":
            self._offered = True
            return
        version = parser.get_http_version()
        self._body, self._body_bytes, self._bodiless_bytes = [], 0, 0
        try:
            self._check_head(version)
            request = Request(parser.get_method(), self._target, self._headers, version, self._client)
            self._arriving = request
            self._app.head(request)
            # After the key check: the limit is nobody's business who has none. Digits: the parser saw to it.
            if self._announced and int(self._announced) > self._app.max_body_bytes:
                raise _too_large(self._app.max_body_bytes)
        except FreeholdError as error:
            self._refused = error
            return
        if self._expects and self._answering is None:
            self.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        if self._refused is not None:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._app.max_body_bytes:
            self._refused = _too_large(self._app.max_body_bytes)

    def on_message_complete(self) -> None:
        """See `httptools`."""
        request = self._arriving
        if request is None or self._refused is not None:
            return
        self._arriving = None
        body = self._body
        if body:
            request.body = body[0] if len(body) == 1 else b"".join(body)
            self._body = []
        reply = Reply(
            self,
            # After an offer to upgrade, which is not taken, what follows could be another protocol.
            keep=self._parser.should_keep_alive() and not self._closing and not self._upgrades,
            head_only=request.method == b"HEAD",
            version=request.version,
        )
        self._ended = None if self._ended else request
        if self._answering is None:
            self._answering = reply
            self._app.answer(request, reply)
        else:
            self._waiting.append((request, reply))
            if len(self._waiting) >= MAX_PIPELINED and self._transport is not None:
                self._transport.pause_reading()

    # What a reply calls.

    def write(self, data: bytes) -> None:
        """Send; uvloop gathers what is written in one turn of the loop."""
        if self._transport is not None:
            self._transport.write(data)

    def ended(self, reply: Reply, *, keep: bool) -> None:
        """See `Wire`."""
        self._answering = None
        self._since = self._loop.time()
        if not keep:
            self._close() if self._refused is None else self._linger()
        elif self._waiting:
            self._next()
        elif self._refused is not None:
            self._refuse()
        elif self._closing:
            self._close()

    # Inside.

    def _learn(self, data: bytes) -> None:
        """Know the head again if `data` was one whole request that leaves the connection as it was."""
        self._misses += 1
        request = self._ended
        plain = not (self._in_head or self._expects or self._upgrades or self._closing) and self._arriving is None
        if request is not None and plain and request.version == "1.1" and request.body and request.caller is not None:
            self._known = remember(data, request) or self._known

    def _answer_again(self, request: Request, body: bytes) -> bool:
        """Answer a request whose head has come before, if it is still to be answered as it was."""
        if len(body) > self._app.max_body_bytes or not self._app.holds(request):
            return False
        request.body = body
        self._answering = reply = Reply(self, keep=True, head_only=False, version="1.1")
        self._app.answer(request, reply)
        request.body = b""
        return True

    def _next(self) -> None:
        request, reply = self._waiting.popleft()
        if len(self._waiting) == MAX_PIPELINED - 1 and self._transport is not None:
            self._transport.resume_reading()
        self._answering = reply
        # Not from within the answer before: a thousand pipelined requests would be a thousand frames deep.
        self._loop.call_soon(self._answer, request, reply)

    def _answer(self, request: Request, reply: Reply) -> None:
        if not reply.over:
            self._app.answer(request, reply)

    def _check_head(self, version: str) -> None:
        if version not in _VERSIONS:
            raise VersionNotSupported("This server speaks HTTP/1.1.", "Send the request as HTTP/1.1.")
        if self._head_bytes > MAX_HEAD_BYTES:  # perhaps only because the body came with it
            size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > MAX_HEAD_BYTES:
                raise _head_too_large()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._offered:
                self._decline(data[offer.args[0] :])
            else:
                self._last_request()
        except httptools.HttpParserError:
            self._refused = self._refused or RequestError("This is not HTTP/1.1.", "Speak HTTP/1.1 to this port.")

    def _decline(self, rest: bytes) -> None:
        """Read a request again without its offer to change protocols, for which httptools would skip its body.

        Some clients offer HTTP/2 with every request that they do not encrypt; what follows such a request could be
        another protocol, so the connection is closed after it.
        """
        self._offered = False
        line = b"%b %b HTTP/%b" % (self._parser.get_method(), self._target, self._parser.get_http_version().encode())
        kept = [b"%b: %b" % header for header in self._headers if header[0] not in _OFFER]
        self._parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([line, *kept, b"connection: close", b"", rest]))

    def _last_request(self) -> None:
        """Nothing that comes after what was read so far is a request."""
        self._closing = True
        if self._answering is None:
            self._close()

    def _refuse(self) -> None:
        """Answer what cannot be read as a request, and close; answers under way are finished first."""
        error = self._refused
        if self._answering is not None or error is None:
            if self._transport is not None:
                self._transport.pause_reading()
            return
        if self._closing:
            self._close()
            return
        self._closing = True
        self._answering = Reply(self, keep=False, head_only=False, version="1.1")
        self._app.refuse(error, self._arriving, self._answering)

    def _linger(self) -> None:
        """Close after a refusal; at once would reset the connection while the caller sends, and lose our answer."""
        if self._transport is not None:
            self._transport.write_eof()
            self._loop.call_later(LINGER_SECONDS, self._close)

    def _close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _tick(self) -> None:
        """Look whether the caller has kept us waiting for too long."""
        waited = self._loop.time() - self._since
        if self._answering is not None:
            late = False
        elif self._arriving is not None:
            late = waited > BODY_SECONDS
        else:
            late = waited > (HEAD_SECONDS if self._in_head else self._keep_alive)
        if late:
            self._close()
        if self._transport is not None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)


def _too_large(limit: int) -> BodyTooLarge:
    """The error for a body of more than `limit` bytes."""
    return BodyTooLarge(
        f"The request body is over the limit of {limit} bytes.", "Send less, or raise gateway.max_body_bytes."
    )


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The request's head is over {MAX_HEAD_BYTES} bytes.", "Send fewer or shorter headers.")


def _remember(name: bytes) -> bytes:
    lower = name.lower()
    if len(_lower) < 4096 and len(name) <= 64:
        _lower[name] = lower
    return lower
