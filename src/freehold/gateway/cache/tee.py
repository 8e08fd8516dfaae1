"""Keeps a copy of an answer that passes by."""

from __future__ import annotations

from collections.abc import Callable

from freehold.domain.errors import UpstreamError
from freehold.upstreams.base import Headers, Sink


class Tee:
    """A sink before another: all goes on as it comes, and `keep(headers, body)` gets what ended well.

    Only answers of status 200, of the upstream that was asked for (a fallback's would outlive the trouble it was for)
    and of at most `limit` bytes are kept.
    """

    __slots__ = ("_headers", "_keep", "_limit", "_parts", "_sink", "_size", "_upstream")

    def __init__(self, sink: Sink, keep: Callable[[Headers, bytes], None], upstream: str, limit: int) -> None:
        self._sink = sink
        self._keep = keep
        self._upstream = upstream
        self._limit = limit
        self._headers: Headers = []
        self._parts: list[bytes] | None = None
        self._size = 0

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `Sink`."""
        if status == 200 and upstream == self._upstream:
            self._parts = []
            self._headers = headers.copy()  # whoever comes next may add its own
        self._sink.begin(upstream, status, headers)

    def data(self, chunk: bytes, last: bool) -> None:
        """See `Sink`."""
        parts = self._parts
        if parts is not None:
            self._size += len(chunk)
            if self._size > self._limit:
                self._parts = None
            else:
                parts.append(chunk)
                if last:
                    self._keep(self._headers, parts[0] if len(parts) == 1 else b"".join(parts))
        self._sink.data(chunk, last)

    def fail(self, error: UpstreamError) -> None:
        """See `Sink`."""
        self._parts = None
        self._sink.fail(error)
