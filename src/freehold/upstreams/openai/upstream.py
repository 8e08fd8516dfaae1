"""Sends a request to one provider, with back-off and retries before the first byte of an answer is passed on."""

from __future__ import annotations

import asyncio
import random

from freehold.domain.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from freehold.upstreams.base import RETRYABLE, UpstreamRequest, UpstreamResponse
from freehold.upstreams.openai.connection import Connection, StaleConnection, Timeouts
from freehold.upstreams.openai.pool import Origin, Pool
from freehold.upstreams.openai.response import HttpResponse

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0
LONGEST_RETRY_AFTER_SECONDS = 5.0
"""An upstream that asks for a longer wait gets none: its answer goes to the caller, who can wait better."""

_jitter = random.Random()


class OpenAIUpstream:
    """See `freehold.upstreams.base.Upstream`."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = 5.0,
        first_byte_timeout: float = 120.0,
        idle_timeout: float = 60.0,
        retries: int = 2,
        max_connections: int = 1000,
    ) -> None:
        """`api_key` replaces the caller's Authorization; timeouts are in seconds.

        Raises:
            ConfigError: `base_url` is not an HTTP(S) URL.
        """
        self.name = name
        origin = Origin(base_url)
        self.origin = origin.text
        self._retries = retries
        timeouts = Timeouts(connect_timeout, first_byte_timeout, idle_timeout)
        self._pool = Pool(name, origin, timeouts, max_connections)
        self._prefix = b" " + origin.path
        # A trace must be readable, and the caller gets the bytes as they come: so the upstream is asked not to
        # compress, instead of being decoded here for the record and passed on encoded.
        self._fixed = b" HTTP/1.1\r\nhost: %s\r\naccept-encoding: identity\r\n" % origin.host_header
        self._authorization = f"Bearer {api_key}".encode() if api_key else None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send, and wait for the head of the answer; retries connect errors and statuses that a retry may cure.

        After the last try the upstream's own answer is returned, whatever its status.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamProtocolError: no answer began.
        """
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                connection = self._pool.take() or await self._pool.acquire()
            except (UpstreamUnreachable, UpstreamTimeout) as error:
                request.attempts.append(f"{self.name}: {error.code}")
                if last:
                    raise
                pause = _pause(attempt)
            else:
                response = await self._exchange(connection, request)
                wait = None if last or response.status not in RETRYABLE else _wanted_pause(attempt, response)
                if wait is None:
                    return response
                response.close()
                pause = wait
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _exchange(self, connection: Connection, request: UpstreamRequest) -> HttpResponse:
        try:
            try:
                response = await self._ask(connection, request)
            except StaleConnection:
                # The keep-alive race: the peer closed while the request was on its way. No byte of an answer came.
                response = await self._ask(await self._pool.fresh(), request)
        except UpstreamError as error:
            request.attempts.append(f"{self.name}: {error.code}")
            raise
        request.attempts.append(f"{self.name}: {response.status}")
        return response

    async def _ask(self, connection: Connection, request: UpstreamRequest) -> HttpResponse:
        response = connection.exchange(self._head(request), request.body, bodiless=request.method == b"HEAD")
        try:
            await response.head()
        except asyncio.CancelledError:
            response.close()
            raise
        return response

    def _head(self, request: UpstreamRequest) -> bytes:
        parts = [request.method, self._prefix, request.path, self._fixed]
        authorization = self._authorization or request.authorization
        if authorization is not None:
            parts += (b"authorization: ", authorization, b"\r\n")
        if request.body or request.method in (b"POST", b"PUT", b"PATCH"):
            parts.append(b"content-length: %d\r\n" % len(request.body))
        for name, value in request.headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)


def _pause(attempt: int) -> float:
    """Jittered exponential back-off, in seconds."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt) * (0.5 + _jitter.random() / 2)


def _wanted_pause(attempt: int, response: HttpResponse) -> float | None:
    """Seconds to wait before another try, as the upstream asks; None if it asks for longer than we wait."""
    for name, value in response.headers:
        if name == b"retry-after":
            try:
                seconds = float(value)
            except ValueError:
                break  # a date: rare, and our own back-off is no worse
            return max(0.0, seconds) if seconds <= LONGEST_RETRY_AFTER_SECONDS else None
    return _pause(attempt)
