"""A request on its way to one upstream: tries, until an answer begins that is worth passing on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from freehold.domain.errors import UpstreamAddressRefused, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from freehold.upstreams.base import RETRYABLE, Headers, Sink, UpstreamRequest
from freehold.upstreams.http.connection import Connection, StaleConnection
from freehold.upstreams.http.deployment import Deployment


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None:
        """Not any more."""
        ...


class Plan(Protocol):
    """Where to send and when to try again: the upstream, as a request on its way sees it."""

    name: str
    hedge_after: float
    """Seconds without an answer after which a second deployment is asked as well; 0: never."""

    def choose(self, tried: Collection[Deployment]) -> Deployment | None:
        """Where to send next, rather not where it was `tried`; None: all rest."""
        ...

    def hedge(self, tried: Collection[Deployment]) -> Deployment | None:
        """Where to send a second time while the first is under way; None: nowhere."""
        ...

    def again(self, tried: Collection[Deployment], wanted: float | None, *, elsewhere: bool) -> float | None:
        """Seconds before another try after the one that came to nothing; None: what it came to stands.

        Args:
            tried: where the tries so far went, repeats included.
            wanted: seconds that the upstream asks to wait.
            elsewhere: only another deployment will do.
        """
        ...

    def wanted(self, headers: Headers) -> float | None:
        """Seconds that an answer asks to wait before another try."""
        ...

    def resting(self) -> UpstreamError:
        """Why there is nowhere to send."""
        ...

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called."""
        ...


class Try:
    """One request to one deployment: waits for a connection, then is its sink; hears of a stale one alone.

    At its end it lets go of everything: no cycles are left for the garbage collector.
    """

    __slots__ = ("_connection", "_probe", "_replayed", "_sending", "_sink", "deployment")

    def __init__(self, sending: Sending, deployment: Deployment) -> None:
        self.deployment = deployment
        self._sending: Sending | None = sending
        self._connection: Connection | None = None
        self._sink: Sink | None = None
        self._replayed = False
        self._probe = deployment.breaker.enter()
        deployment.outstanding += 1

    def go(self) -> None:
        """Send, on a kept connection or when there is one."""
        pool = self.deployment.pool
        connection = pool.take()
        if connection is None:
            pool.ask(self)
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
        """Give up, wherever it stands; nothing if it has ended."""
        if self._sending is None:
            return
        self.deployment.breaker.left(probe=self._probe)
        connection = self._connection
        if connection is None:
            self.deployment.pool.leave(self)
        self._end()
        if connection is not None:
            connection.drop()

    def _end(self) -> None:
        self.deployment.outstanding -= 1
        self._sending = self._sink = self._connection = None

    # What the pool and the connection call.

    def connected(self, connection: Connection) -> None:
        """See `freehold.upstreams.http.pool.Waiter`."""
        assert self._sending is not None
        request = self._sending.request
        self._connection = connection
        connection.exchange(self.deployment.head(request), request.body, self, bodiless=request.method == b"HEAD")

    def unconnected(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.http.pool.Waiter`."""
        self._failed(error, sent=False)

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`."""
        sending = self._sending
        assert sending is not None
        self.deployment.answered(status, headers, probe=self._probe)
        self._probe = False
        sink = sending.began(self, upstream, status, headers)
        if self._connection is not None:  # else it was cancelled meanwhile
            self._sink = sink

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`; an answer that is not passed on is cut, unless this was all of it."""
        sink = self._sink
        if last:
            self._end()
        elif sink is None:
            self.cancel()
        if sink is not None:
            sink.data(chunk, last)

    def fail(self, error: UpstreamError) -> None:
        """See `freehold.upstreams.base.Sink`."""
        self._connection = None
        if isinstance(error, StaleConnection) and not self._replayed:
            # The keep-alive race: the peer closed while the request was on its way. No byte of an answer came.
            self._replayed = True
            self.deployment.pool.ask(self, fresh=True)
        else:
            self._failed(error, sent=True)

    def _failed(self, error: UpstreamError, *, sent: bool) -> None:
        sending, sink = self._sending, self._sink
        assert sending is not None
        self.deployment.failed(error, probe=self._probe)
        self._end()
        if sink is not None:
            sink.fail(error)
        else:
            sending.failed(self, error, sent=sent)


class Sending:
    """A `freehold.upstreams.base.Call`: one try after another with pauses between, or two at once where it hedges."""

    __slots__ = ("_plan", "_second", "_sink", "_timer", "_tried", "_try", "request")

    def __init__(self, plan: Plan, request: UpstreamRequest, sink: Sink) -> None:
        """Begins at once; `sink` hears nothing before a later turn of the loop."""
        self.request = request
        self._plan = plan
        self._sink: Sink | None = sink
        self._timer: Timer | None = None
        self._try: Try | None = None
        self._second: Try | None = None
        """A second one under way; only while no answer has begun."""
        self._tried: list[Deployment] = []
        deployment = plan.choose(())
        if deployment is None:
            self._timer = plan.later(0.0, self._rest)
            return
        if plan.hedge_after:
            self._timer = plan.later(plan.hedge_after, self._hedge)
        self._launch(deployment)

    def pause(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        if self._try is not None:
            self._try.pause()

    def resume(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        if self._try is not None:
            self._try.resume()

    def cancel(self) -> None:
        """See `freehold.upstreams.base.Call`."""
        self._sink = None
        self._stop_timer()
        for trying in (self._try, self._second):
            if trying is not None:
                trying.cancel()

    # What a try calls.

    def began(self, trying: Try, upstream: str, status: int, headers: Headers) -> Sink | None:
        """An answer begins; returns who takes it, or None if it is not to be passed on."""
        self.request.attempts.append(trying.deployment.label(status))
        if status in RETRYABLE and (
            self._leave_to_other(trying) or self._again(self._plan.wanted(headers), elsewhere=False)
        ):
            return None
        if self._timer is not None:
            self._stop_timer()
        if self._second is not None:
            self._settle(trying)
        sink, self._sink = self._sink, None  # the try holds it from here on
        assert sink is not None
        sink.begin(upstream, status, headers)
        return sink

    def failed(self, trying: Try, error: UpstreamError, *, sent: bool) -> None:
        """No answer began. What was `sent`, and is perhaps being worked on, goes to nobody but another deployment."""
        self.request.attempts.append(f"{trying.deployment.name}: {error.code}")
        if self._leave_to_other(trying):
            return
        curable = isinstance(error, UpstreamUnreachable | UpstreamTimeout)
        elsewhere = sent or not curable or isinstance(error, UpstreamAddressRefused)
        if not self._again(None, elsewhere=elsewhere):
            self._stop_timer()
            self._fail(error)

    def _launch(self, deployment: Deployment) -> None:
        self._tried.append(deployment)
        trying = self._try = Try(self, deployment)
        trying.go()

    def _again(self, wanted: float | None, *, elsewhere: bool) -> bool:
        """Arrange another try, if there shall be one."""
        pause = self._plan.again(self._tried, wanted, elsewhere=elsewhere)
        if pause is None:
            return False
        self._stop_timer()
        self._timer = self._plan.later(pause, self._next)
        return True

    def _next(self) -> None:
        self._timer = None
        deployment = self._plan.choose(self._tried)
        if deployment is None:
            self._rest()
        else:
            self._launch(deployment)

    def _rest(self) -> None:
        self._timer = None
        error = self._plan.resting()
        self.request.attempts.append(f"{self._plan.name}: {error.code}")
        self._fail(error)

    def _fail(self, error: UpstreamError) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.fail(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Hedging: the first to begin an answer wins.

    def _hedge(self) -> None:
        self._timer = None
        deployment = self._plan.hedge(self._tried)
        if deployment is not None:
            self._second = self._try
            self._launch(deployment)

    def _leave_to_other(self, trying: Try) -> bool:
        """Forget a try that came to nothing while another is under way."""
        if self._second is None:
            return False
        if trying is self._try:
            self._try = self._second
        self._second = None
        return True

    def _settle(self, winner: Try) -> None:
        """Cancel the other of two."""
        loser = self._second if winner is self._try else self._try
        self._try, self._second = winner, None
        assert loser is not None
        self.request.attempts.append(f"{loser.deployment.name}: cancelled")
        loser.cancel()
