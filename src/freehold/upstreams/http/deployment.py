"""One place where a model is served: its address, its key and its connections."""

from __future__ import annotations

from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.http.connection import Timeouts
from freehold.upstreams.http.origin import Origin
from freehold.upstreams.http.pool import Pool

_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods whose requests say their length even when it is zero (RFC 9110, 8.6)."""


class Deployment:
    """Turns requests into bytes for one origin, and holds its pool."""

    __slots__ = ("_authorization", "_fixed", "_labels", "_prefix", "name", "origin", "pool")

    def __init__(self, name: str, origin: Origin, pool: Pool, api_key: str | None) -> None:
        """`name`: of the upstream; `api_key` replaces the caller's Authorization."""
        self.name = name
        self.origin = origin
        self.pool = pool
        self._prefix = b" " + origin.path
        # A trace must be readable, and the caller gets the bytes as they come: so the upstream is asked not to
        # compress, instead of being decoded here for the record and passed on encoded.
        self._fixed = b" HTTP/1.1\r\nhost: %s\r\naccept-encoding: identity\r\n" % origin.host_header
        self._authorization = f"Bearer {api_key}".encode() if api_key else None
        self._labels: dict[int, str] = {}

    def head(self, request: UpstreamRequest) -> bytes:
        """The request's line and headers."""
        parts = [request.method, self._prefix, request.path, self._fixed]
        authorization = self._authorization or request.authorization
        if authorization is not None:
            parts += (b"authorization: ", authorization, b"\r\n")
        if request.body or request.method in _WITH_BODY:
            parts.append(b"content-length: %d\r\n" % len(request.body))
        for name, value in request.headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def label(self, status: int) -> str:
        """How a try that was answered so is noted."""
        label = self._labels.get(status)
        if label is None:
            label = self._labels[status] = f"{self.name}: {status}"
        return label


def deployment(name: str, base_url: str, api_key: str | None, timeouts: Timeouts, max_connections: int) -> Deployment:
    """A deployment with a pool of its own.

    Raises:
        ConfigError: `base_url` is not an HTTP(S) URL.
    """
    origin = Origin(base_url)
    return Deployment(name, origin, Pool(name, origin, timeouts, max_connections), api_key)
