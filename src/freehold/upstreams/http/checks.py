"""Asks deployments for their health now and then, so that one that fails rests before callers notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import structlog

from freehold.domain.errors import UpstreamError, UpstreamResting
from freehold.upstreams.base import Headers, UpstreamRequest
from freehold.upstreams.http.breaker import Breaker, State
from freehold.upstreams.http.deployment import Deployment
from freehold.upstreams.http.sending import Sending, Timer
from freehold.upstreams.reading import Answer

FAILURES = 2
"""In a row, before a deployment rests."""
_log = structlog.get_logger()


class Checks:
    """Of one deployment: a rest begins when checks fail, and ends when one succeeds."""

    def __init__(self, served: Deployment, twin: Deployment, path: str, interval: float) -> None:
        """
        Args:
            served: whose rests are decided.
            twin: the same place, with connections of its own and without the path of the API.
            path: what is asked for, from the root of the origin.
            interval: seconds between checks.
        """
        self._served = served
        self._plan = _Once(twin)
        self._path = path.encode()
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless begun, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """End, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._plan.deployment.pool.aclose()

    async def _run(self) -> None:
        failures = 0
        while True:
            error = await self._check()
            failures = failures + 1 if error else 0
            breaker = self._served.breaker
            if not error and breaker.state is not State.CLOSED:
                breaker.close()
                _log.info("deployment-well-again", upstream=self._served.name, deployment=self._served.origin)
            elif failures >= FAILURES and breaker.ready():
                self._served.last_error = f"health check: {error}"
                breaker.open()
                _log.warning(
                    "deployment-rests", upstream=self._served.name, deployment=self._served.origin, error=error
                )
            await asyncio.sleep(self._interval)

    async def _check(self) -> str:
        """What is wrong; empty: nothing."""
        answer = Answer()
        request = UpstreamRequest(method=b"GET", path=self._path, headers=[], body=b"")
        try:
            await answer.head(Sending(self._plan, request, answer))
            while not answer.at_end:
                await answer.read()
        except UpstreamError as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else f"status {answer.status}"


class _Once:
    """A `freehold.upstreams.http.sending.Plan`: one try at one deployment, whatever the last one came to."""

    hedge_after = 0.0

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.deployment = deployment

    def choose(self, tried: Collection[Deployment]) -> Deployment | None:
        """The one there is."""
        self.deployment.breaker = Breaker()
        return self.deployment

    def hedge(self, tried: Collection[Deployment]) -> Deployment | None:
        """Nowhere."""
        return None

    def again(self, tried: Collection[Deployment], wanted: float | None, *, elsewhere: bool) -> float | None:
        """Never."""
        return None

    def wanted(self, headers: Headers) -> float | None:
        """Not looked at."""
        return None

    def resting(self) -> UpstreamError:
        """Never asked for."""
        return UpstreamResting(f"Upstream {self.name!r} rests.", "Wait.")

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """See `asyncio.loop.call_later`."""
        return asyncio.get_running_loop().call_later(seconds, callback)
