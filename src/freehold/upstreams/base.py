"""The seam: a request in, the answer's bytes out. Whatever speaks to a provider is an `Upstream`."""

from __future__ import annotations

from typing import Protocol

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

RETRYABLE = frozenset((429, 500, 502, 503, 504))
"""Statuses that another try may cure."""


class UpstreamRequest:
    """One request as it goes upstream; the body's bytes are the caller's, unchanged."""

    __slots__ = ("attempts", "authorization", "body", "headers", "method", "path")

    def __init__(
        self, *, method: bytes, path: bytes, headers: Headers, body: bytes, authorization: bytes | None = None
    ) -> None:
        self.method = method
        self.path = path
        """What follows the upstream's base URL, with the query: `/chat/completions`."""
        self.headers = headers
        """Neither hop-by-hop headers nor host, content-length, authorization or accept-encoding are among them."""
        self.body = body
        self.authorization = authorization
        """The caller's own; an upstream that has a key of its own sends that instead."""
        self.attempts: list[str] = []
        """Filled while sending: `upstream: status or error code` of each try."""


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

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send the request and wait for the head of the answer, with the upstream's own retries.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamProtocolError: no answer began; each try is in `attempts`.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
