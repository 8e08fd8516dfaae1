"""An upstream without sockets or a loop: the test moves its clock and answers for its pools and connections."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from freehold.domain.errors import UpstreamError, UpstreamUnreachable
from freehold.upstreams.base import Headers, Sink, UpstreamRequest
from freehold.upstreams.http import HttpUpstream, Options, Place
from freehold.upstreams.http.connection import StaleConnection

UNREACHABLE = UpstreamUnreachable("Nobody there.", "Look.")
STALE = StaleConnection("Closed.", "Try again.")


class Clock:
    """Seconds, and what is to be called when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due is called in order."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self.now = end

    @property
    def due(self) -> list[float]:
        """Seconds until each timer that was not cancelled."""
        return sorted(at - self.now for at, _, timer in self._timers if timer.callback is not None)


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Exchange:
    """One request on one connection: the test says what comes of it."""

    def __init__(self, pool: FakePool, head: bytes, body: bytes, sink: Sink) -> None:
        self.pool, self.head, self.body, self.sink = pool, head, body, sink
        self.dropped = self.paused = False

    def answer(self, status: int, body: bytes = b"", *, last: bool = True, headers: Headers | None = None) -> None:
        """As a connection does: the head, and what came with it, in one turn."""
        self.sink.begin("main", status, headers if headers is not None else [])
        if not self.dropped:
            self.sink.data(body, last)


class FakeConnection:
    def __init__(self, pool: FakePool) -> None:
        self._pool = pool
        self._exchange: Exchange | None = None

    def exchange(self, head: bytes, body: bytes, sink: Sink, *, bodiless: bool = False) -> None:
        self._exchange = Exchange(self._pool, head, body, sink)
        self._pool.exchanges.append(self._exchange)

    def pause(self) -> None:
        assert self._exchange is not None
        self._exchange.paused = True

    def resume(self) -> None:
        assert self._exchange is not None
        self._exchange.paused = False

    def drop(self) -> None:
        assert self._exchange is not None
        self._exchange.dropped = True


class FakePool:
    """`kept`: there is always a connection; else those who ask wait until the test connects or refuses them."""

    def __init__(self, *, kept: bool = True) -> None:
        self.kept = kept
        self.exchanges: list[Exchange] = []
        self.waiting: list[tuple[object, bool]] = []
        self.connections = 0

    def take(self) -> FakeConnection | None:
        return FakeConnection(self) if self.kept else None

    def ask(self, waiter: object, *, fresh: bool = False) -> None:
        self.waiting.append((waiter, fresh))

    def leave(self, waiter: object) -> None:
        self.waiting = [(other, fresh) for other, fresh in self.waiting if other is not waiter]

    def connect(self) -> None:
        """Serve the first who waits."""
        waiter, _ = self.waiting.pop(0)
        waiter.connected(FakeConnection(self))  # type: ignore[attr-defined]

    def refuse(self, error: UpstreamError = UNREACHABLE) -> None:
        """Fail the first who waits."""
        waiter, _ = self.waiting.pop(0)
        waiter.unconnected(error)  # type: ignore[attr-defined]

    async def aclose(self) -> None: ...


class Desk:
    """An upstream with deployments a, b, c … of these weights; jitter is the largest."""

    def __init__(self, *weights: int, kept: bool = True, **options: object) -> None:
        self.clock = Clock()
        places = [
            Place(f"http://{name}.test/v1", weight=weight) for name, weight in zip("abc", weights or (1,), strict=False)
        ]
        made = Options(**{"retries": 2, **options})  # type: ignore[arg-type]
        self.upstream = HttpUpstream("main", places, made, jitter=lambda: 1.0, clock=self.clock)
        self.upstream.later = self.clock.later  # type: ignore[method-assign]
        self.pools = [FakePool(kept=kept) for _ in places]
        for deployment, pool in zip(self.upstream.deployments, self.pools, strict=True):
            deployment.pool = pool  # type: ignore[assignment]

    def send(self) -> Asked:
        """A request, and what its sink heard."""
        return Asked(self)

    @property
    def exchanges(self) -> list[Exchange]:
        """Of the first deployment."""
        return self.pools[0].exchanges

    @property
    def outstanding(self) -> list[int]:
        return [deployment.outstanding for deployment in self.upstream.deployments]

    def fail_until_it_rests(self) -> None:
        """Five connects in a row that are refused."""
        while self.upstream.deployments[0].breaker.ready():
            self.send()
            while self.pools[0].waiting:
                self.pools[0].refuse()
                self.clock.advance(4.0)


class Asked:
    """A sink that notes what it hears."""

    def __init__(self, desk: Desk) -> None:
        self.heard: list[object] = []
        self.request = UpstreamRequest(method=b"POST", path=b"/chat/completions", headers=[], body=b"{}")
        self.call = desk.upstream.start(self.request, self)
        assert self.heard == [], "nothing is heard before start returns"

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        self.heard.append(status)

    def data(self, chunk: bytes, last: bool) -> None:
        self.heard.append((chunk, last))

    def fail(self, error: UpstreamError) -> None:
        self.heard.append(error.code)

    @property
    def attempts(self) -> list[str]:
        return [attempt.removeprefix("main: ") for attempt in self.request.attempts]
