"""The answer to one request, written as it comes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from freehold.upstreams.base import Headers

_STATUS = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_line = b": ".join
_BODILESS = frozenset((204, 304))


class Listener(Protocol):
    """Who answers, told what becomes of the caller."""

    def gone(self) -> None:
        """The caller has closed the connection: nobody waits any more."""
        ...

    def pause(self) -> None:
        """The caller reads slowly: send no more for now."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...


class Wire(Protocol):
    """The connection, as a reply sees it."""

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def ended(self, reply: Reply, *, keep: bool) -> None:
        """The reply is out, whole (`keep`: the connection may carry another) or cut."""
        ...


class Reply:
    """`whole`, or `start` and then `body` until the last; `cut` breaks an answer off, so that the caller sees it."""

    __slots__ = ("_chunked", "_head", "_left", "_silent", "_wire", "keep", "listener", "over", "started", "version")

    def __init__(self, wire: Wire, *, keep: bool, head_only: bool, version: str) -> None:
        self.keep = keep
        """Whether the connection may carry another request afterwards."""
        self.version = version
        self.listener: Listener | None = None
        self.started = False
        self.over = False
        """Nothing more can be sent: all is out, or the caller is gone."""
        self._wire = wire
        self._silent = head_only
        """The head says what a body would be, and none is sent."""
        self._chunked = False
        self._left = -1
        """Bytes of the body still to be sent, where its length was announced."""
        self._head = b""
        """Held back until there is some of the body, so that both leave together."""

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer; its length is added."""
        self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        self.body(body, True)

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer; without a content-length its end is marked by chunks, or by closing (HTTP/1.0).

        Nothing is sent before `body`, which may be empty. No header here speaks of the connection: that is for `keep`.
        """
        if self.over:
            return
        self.started = True
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
                break
        head = _STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status
        if headers:
            head = b"%b%b\r\n" % (head, b"\r\n".join(map(_line, headers)))
        if self._silent or status in _BODILESS:
            self._silent, self._left = True, 0
        elif self._left < 0:
            if self.version == "1.1":
                self._chunked = True
                head += b"transfer-encoding: chunked\r\n"
            else:
                self.keep = False
        self._head = head + (b"\r\n" if self.keep else b"connection: close\r\n\r\n")

    def body(self, chunk: bytes, last: bool) -> None:
        """Send some of the body, and with `last` its end."""
        if self.over:
            return
        if self._silent:
            data = self._head
        elif self._chunked:
            data = self._head
            if chunk:
                data = b"%b%x\r\n%b\r\n" % (data, len(chunk), chunk)
            if last:
                data += b"0\r\n\r\n"
        else:
            if self._left >= 0:
                self._left -= len(chunk)
            data = self._head + chunk if self._head else chunk
        self._head = b""
        if data:
            self._wire.write(data)
        if last:
            self.over = True
            self._wire.ended(self, keep=self.keep and (self._chunked or self._left == 0))

    def cut(self) -> None:
        """Close the connection: half an answer must not look like a whole one."""
        if not self.over:
            self.over = True
            self._wire.ended(self, keep=False)

    def lost(self) -> None:
        """The connection is gone (called by it)."""
        if not self.over:
            self.over = True
            listener, self.listener = self.listener, None
            if listener is not None:
                listener.gone()
