"""A request on its way to one upstream: tries, until an answer begins that is worth passing on."""

from __future__ import annotations

import asyncio
from typing import Protocol

from freehold.domain.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from freehold.upstreams.base import RETRYABLE, Headers, Sink, UpstreamRequest
from freehold.upstreams.http.connection import Connection, StaleConnection
from freehold.upstreams.http.deployment import Deployment


class Plan(Protocol):
    """Where to send, and whether to try again: the upstream, as a request on its way sees it."""

    retries: int

    def choose(self) -> Deployment:
        """Where to send next."""
        ...

    def pause(self, attempt: int, headers: Headers) -> float | None:
        """Seconds before another try after one (counted from 0) that came to nothing; None: let it be.

        `headers`: of the answer that the try brought; none without one.
        """
        ...


class Try:
    """One request to one deployment (a `Sink` for its connection); hears of a stale connection alone."""

    __slots__ = ("_connection", "_replayed", "_sending", "_sink", "deployment")

    def __init__(self, sending: Sending, deployment: Deployment) -> None:
        self.deployment = deployment
        self._sending = sending
        self._connection: Connection | None = None
        self._sink: Sink | None = None
        self._replayed = False

    def go(self) -> None:
        """Send, on a kept connection or when there is one."""
        connection = self.deployment.pool.take()
        if connection is None:
            self.deployment.pool.ask(self)
        else:
            self.connected(connection)

    def pause(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        if self._connection is not None:
            self._connection.resume()

    def cancel(self) -> None:
        """Give up, wherever it stands."""
        if self._connection is None:
            self.deployment.pool.leave(self)
        else:
            self._connection.drop()
            self._connection = None

    # What the pool and the connection call.

    def connected(self, connection: Connection) -> None:
        """See `freehold.upstreams.http.pool.Waiter`."""
        request = self._sending.request
        self._connection = connection
        connection.exchange(self.deployment.head(request), request.body, self, bodiless=request.method == b"HEAD")

    def unconnected(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.http.pool.Waiter`."""
        self._sending.failed(self, error, sent=False)

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`."""
        self._sink = self._sending.began(self, upstream, status, headers)

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`; an answer that is not passed on is cut, unless this was all of it."""
        if last:
            connection, self._connection = self._connection, None
        else:
            connection = self._connection
        if self._sink is not None:
            self._sink.data(chunk, last)
        elif not last and connection is not None:
            self.cancel()

    def fail(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.base.Sink`."""
        self._connection = None
        if isinstance(error, StaleConnection) and not self._replayed:
            # The keep-alive race: the peer closed while the request was on its way. No byte of an answer came.
            self._replayed = True
            self.deployment.pool.ask(self, fresh=True)
        elif self._sink is not None:
            self._sink.fail(error)
        else:
            self._sending.failed(self, error, sent=True)


class Sending:
    """A `freehold.upstreams.base.Call`: one try after another, pauses between them."""

    __slots__ = ("_attempt", "_plan", "_sink", "_timer", "_try", "request")

    def __init__(self, plan: Plan, request: UpstreamRequest, sink: Sink) -> None:
        """Begins at once."""
        self.request = request
        self._plan = plan
        self._sink = sink
        self._attempt = 0
        self._timer: asyncio.TimerHandle | None = None
        self._try = trying = Try(self, plan.choose())
        trying.go()

    def pause(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._try.pause()

    def resume(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._try.resume()

    def cancel(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._try.cancel()

    # What a try calls.

    def began(self, trying: Try, upstream: str, status: int, headers: Headers) -> Sink | None:
        """An answer begins; returns who takes it, or None if there shall be another try."""
        self.request.attempts.append(trying.deployment.label(status))
        if status in RETRYABLE:
            pause = self._plan.pause(self._attempt, headers)
            if pause is not None:
                self._again(pause)
                return None
        self._sink.begin(upstream, status, headers)
        return self._sink

    def failed(self, trying: Try, error: UpstreamError, *, sent: bool) -> None:
        """No answer began. What was `sent`, and the upstream may be at work on, is not sent a second time."""
        self.request.attempts.append(f"{trying.deployment.name}: {error.code}")
        if not sent and isinstance(error, UpstreamUnreachable | UpstreamTimeout):
            pause = self._plan.pause(self._attempt, [])
            if pause is not None:
                self._again(pause)
                return
        self._sink.fail(error)

    def _again(self, pause: float) -> None:
        self._attempt += 1
        self._timer = asyncio.get_running_loop().call_later(pause, self._next)

    def _next(self) -> None:
        self._timer = None
        self._try = trying = Try(self, self._plan.choose())
        trying.go()
