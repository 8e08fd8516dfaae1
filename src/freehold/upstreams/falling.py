"""A request that goes from upstream to upstream until one gives an answer that the next could not better."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.domain.errors import UpstreamError
from freehold.upstreams.base import RETRYABLE, Call, Headers, Sink, Upstream, UpstreamRequest


class Falling:
    """A `freehold.upstreams.base.Call`, and the sink of each upstream's in turn.

    The caller's own key is not carried to a fallback at another origin: give such a fallback a key.
    """

    __slots__ = ("_api_key", "_authorization", "_call", "_left", "_origin", "_passing", "_request", "_sink")

    def __init__(self, upstreams: Sequence[Upstream], request: UpstreamRequest, sink: Sink) -> None:
        """Begins at once with the first of `upstreams`."""
        self._request = request
        self._sink = sink
        self._authorization, self._api_key = request.authorization, request.api_key
        self._origin = upstreams[0].origin
        self._left = list(reversed(upstreams))
        self._passing = False
        self._call: Call
        self._next()

    def pause(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._call.pause()

    def resume(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._call.resume()

    def cancel(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._call.cancel()

    # What the upstreams call.

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`; the last one's answer is passed on as it is."""
        self._passing = status not in RETRYABLE or not self._left
        if self._passing:
            self._sink.begin(upstream, status, headers)

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if self._passing:
            self._sink.data(chunk, last)
            return
        if not last:
            self._call.cancel()
        self._next()

    def fail(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if self._passing or not self._left:
            self._sink.fail(error)
        else:
            self._next()

    def _next(self) -> None:
        upstream = self._left.pop()
        own = upstream.origin == self._origin
        self._request.authorization = self._authorization if own else None
        self._request.api_key = self._api_key if own else None
        self._call = upstream.start(self._request, self)
