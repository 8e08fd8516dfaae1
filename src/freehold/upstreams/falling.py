"""A request that goes from upstream to upstream until one gives an answer that the next could not better."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.domain.errors import RequestError, UpstreamError
from freehold.upstreams.base import RETRYABLE, Call, Headers, Sink, Upstream, UpstreamRequest
from freehold.upstreams.model_field import with_model

Step = tuple[Upstream, str]
"""Whom to ask, and for which model in place of the body's (empty: the body's)."""


class Falling:
    """A `freehold.upstreams.base.Call`, and the sink of each upstream's in turn.

    The caller's own key is not carried to a fallback at another origin: give such a fallback a key.
    """

    __slots__ = (
        "_api_key",
        "_authorization",
        "_body",
        "_call",
        "_left",
        "_origin",
        "_passing",
        "_request",
        "_sink",
    )

    def __init__(self, steps: Sequence[Step], request: UpstreamRequest, sink: Sink) -> None:
        """Begins at once with the first of `steps`.

        Raises:
            RequestError: the first has not what the request asks for.
        """
        self._request = request
        self._sink: Sink | None = sink
        self._authorization, self._api_key = request.authorization, request.api_key
        self._body = request.body
        self._origin = steps[0][0].origin
        self._left = list(reversed(steps))
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
        self._sink = None
        self._call.cancel()

    # What the upstreams call.

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`; the last one's answer is passed on as it is."""
        self._passing = status not in RETRYABLE or not self._left
        if self._passing and self._sink is not None:
            self._sink.begin(upstream, status, headers)

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`."""
        sink = self._sink
        if not self._passing:
            if not last:
                self._call.cancel()
            self._fall()
        elif sink is not None:
            if last:
                self._sink = None  # whoever takes the answer may hold this call: leave no cycle
            sink.data(chunk, last)

    def fail(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if not self._passing and self._left:
            self._fall()
            return
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.fail(error)

    def _next(self) -> None:
        upstream, model = self._left.pop()
        request = self._request
        same = upstream.origin == self._origin
        request.authorization = self._authorization if same else None
        request.api_key = self._api_key if same else None
        request.body = with_model(self._body, model) if model else self._body
        request.asked_model = model
        self._call = upstream.start(request, self)

    def _fall(self) -> None:
        """To the next that has what the request asks for."""
        while True:
            name = self._left[-1][0].name
            try:
                self._next()
            except RequestError as error:
                self._request.attempts.append(f"{name}: {error.code}")
                if not self._left:
                    self.fail(UpstreamError(f"The last fallback cannot take it over: {error.message}", error.hint))
                    return
            else:
                return
