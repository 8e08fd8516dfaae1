"""Passes an upstream's answer on to the caller as it comes, and keeps a copy for the trace."""

from __future__ import annotations

from freehold.domain.errors import UpstreamError
from freehold.gateway.body import ClientWatch
from freehold.gateway.exchange import Exchange
from freehold.gateway.replies import Send
from freehold.upstreams.base import UpstreamResponse


class Copy:
    """The first `limit` bytes of a body."""

    __slots__ = ("_limit", "_parts", "_size", "tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self.tail = b""
        """The last bytes that came, kept or not: enough to see how a stream ended."""

    def add(self, chunk: bytes) -> None:
        """Keep what of `chunk` still fits."""
        room = self._limit - self._size
        self._size += len(chunk)
        if room > 0:
            self._parts.append(chunk if len(chunk) <= room else chunk[:room])
        self.tail = chunk[-32:] if len(chunk) >= 32 else (self.tail + chunk)[-32:]

    def store(self, exchange: Exchange) -> None:
        """Hand the copy to the exchange."""
        parts = self._parts
        exchange.response = parts[0] if len(parts) == 1 else b"".join(parts)
        exchange.truncated = self._size > self._limit


async def relay(exchange: Exchange, response: UpstreamResponse, watch: ClientWatch, send: Send, limit: int) -> None:
    """Send the answer on; the trace is appended before the last byte goes out.

    An answer that breaks off is cut for the caller too: the body is left unfinished, and the server closes the
    connection. `limit`: bytes of the body that the trace keeps.
    """
    copy = Copy(limit)
    start = {"type": "http.response.start", "status": response.status, "headers": response.headers + exchange.headers()}
    try:
        await send(start)
        at_end = False
        while not at_end:
            chunk = await response.read()
            at_end = response.at_end
            copy.add(chunk)
            # Clients stop reading at [DONE]: for them that is the end, so what must be true at the end must be now.
            if at_end or (exchange.stream and copy.tail.rstrip().endswith(b"data: [DONE]")):
                if exchange.stream:
                    _check_ending(exchange, response, copy)
                copy.store(exchange)
                watch.stop()
                exchange.finish()
            await send({"type": "http.response.body", "body": chunk, "more_body": not at_end})
    except UpstreamError as error:
        exchange.failed(error.code, error.message)
    finally:
        response.close()
        if not exchange.finished:
            copy.store(exchange)


def _check_ending(exchange: Exchange, response: UpstreamResponse, copy: Copy) -> None:
    """A stream that ends within an event is passed on as it is, but the trace says so."""
    for name, value in response.headers:
        if name == b"content-type" and value.startswith(b"text/event-stream"):
            if copy.tail and not copy.tail.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
                exchange.failed("upstream_protocol_error", "The event stream ended within an event.")
            return
