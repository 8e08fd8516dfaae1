"""The seam: a request in, the answer's bytes out. Whatever speaks to a provider is an `Upstream`.

An answer is pushed: its bytes go to a `Sink` by plain calls from the event loop, in the turn in which they come off the
socket. `freehold.upstreams.reading` turns that into something a coroutine can read.
"""

from __future__ import annotations

from typing import Protocol

from freehold.domain.errors import UpstreamError
from freehold.upstreams.health import Health

Headers = list[tuple[bytes, bytes]]
"""Lower-case names and values; end-to-end headers only."""

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers that speak of one connection and are never passed on (RFC 9110, 7.6.1)."""

RETRYABLE = frozenset((429, 500, 502, 503, 504, 529))
"""Statuses that another try may cure; 529 is how Anthropic says that it is overloaded."""


class UpstreamRequest:
    """One request as it goes upstream; the body's bytes are the caller's, unchanged."""

    __slots__ = ("api_key", "asked_model", "attempts", "authorization", "body", "headers", "heads", "method", "path")

    def __init__(
        self,
        *,
        method: bytes,
        path: bytes,
        headers: Headers,
        body: bytes,
        authorization: bytes | None = None,
        api_key: bytes | None = None,
        heads: dict[object, bytes] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        """What follows the upstream's base URL, with the query: `/chat/completions`."""
        self.headers = headers
        """Neither hop-by-hop headers nor host, content-length, authorization, x-api-key or accept-encoding are among
        them."""
        self.body = body
        self.authorization = authorization
        """The caller's own; an upstream that has a key of its own sends that instead."""
        self.api_key = api_key
        """The caller's own x-api-key, as Anthropic's clients send it; the same holds for it."""
        self.heads = heads
        """Kept by who sends many requests with this method, path and headers: what an upstream made of them."""
        self.attempts: list[str] = []
        """Filled while sending: `upstream: status or error code` of each try."""
        self.asked_model = ""
        """Filled while sending: the model that a fallback is asked for in place of the body's; empty: the body's."""


class Sink(Protocol):
    """Takes an answer as it comes, called from the event loop; must not raise.

    It hears nothing before the `start` that it was given to has returned, and nothing more after `data(…, last=True)`,
    after `fail`, or after its call was cancelled.
    """

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """The head of the answer, once; `data` follows in the same turn of the loop. The list is the sink's to keep."""
        ...

    def data(self, chunk: bytes, last: bool) -> None:
        """All bytes of the body that one read of the socket brought, joined.

        `chunk` may be empty: right after `begin` when only the head came, and at the end of a chunked body.
        """
        ...

    def fail(self, error: UpstreamError) -> None:
        """No answer began, or the one that began broke off."""
        ...


class Call(Protocol):
    """A request on its way."""

    def pause(self) -> None:
        """Read no more from the upstream for now: the caller is slow."""
        ...

    def resume(self) -> None:
        """Read from the upstream again."""
        ...

    def cancel(self) -> None:
        """Nobody wants the answer any more; the sink hears nothing more. Does nothing once the answer has ended."""
        ...


class UpstreamResponse(Protocol):
    """An answer whose head has come; its body is read piece by piece, as it comes."""

    status: int
    headers: Headers

    @property
    def at_end(self) -> bool:
        """Whether the whole body has come and been read."""
        ...

    async def read(self) -> bytes:
        """All bytes that have come since the last read, waiting for some; `b""` at the end.

        Raises:
            UpstreamTimeout: nothing came for the idle timeout.
            UpstreamProtocolError: the upstream closed before the end, or sent what is not HTTP.
        """
        ...

    def close(self) -> None:
        """Give up what has not been read; the connection is closed unless the answer was complete."""
        ...


class Upstream(Protocol):
    """Something that answers a request over the wire."""

    name: str
    origin: str
    """Scheme, host and port: a caller's own key is never carried to another origin."""
    protocol: str
    """What it speaks, `openai` or `anthropic`: a request by the other is translated, and its answer back."""

    def start(self, request: UpstreamRequest, sink: Sink) -> Call:
        """Send the request, with the upstream's own retries, and push the answer; each try is in `attempts`.

        Raises:
            RequestError: the upstream's protocol cannot say what the request asks for.
        """
        ...

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """`start`, and wait for the head of the answer.

        Raises:
            RequestError: as `start`.
            UpstreamError: no answer began.
        """
        ...

    async def retire(self) -> None:
        """Nothing new will be asked: keep no connection beyond its exchange."""
        ...

    async def aclose(self) -> None:
        """Close all connections; answers under way fail."""
        ...

    def health(self) -> list[Health]:
        """How each place where it is served does."""
        ...
