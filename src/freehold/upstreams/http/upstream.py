"""Sends requests to one provider, with back-off and retries before the first byte of an answer is passed on."""

from __future__ import annotations

import random

from freehold.upstreams.base import Call, Headers, Sink, UpstreamRequest
from freehold.upstreams.http.connection import Timeouts
from freehold.upstreams.http.deployment import Deployment, deployment
from freehold.upstreams.http.sending import Sending
from freehold.upstreams.reading import Answer

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0
LONGEST_RETRY_AFTER_SECONDS = 5.0
"""An upstream that asks for a longer wait gets none: its answer goes to the caller, who can wait better."""

_jitter = random.Random()


class HttpUpstream:
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
        self.retries = retries
        timeouts = Timeouts(connect_timeout, first_byte_timeout, idle_timeout)
        self._deployment = deployment(name, base_url, api_key, timeouts, max_connections)
        self.origin = self._deployment.origin.text

    def start(self, request: UpstreamRequest, sink: Sink) -> Call:
        """Send, and push the answer; retries connect errors and statuses that a retry may cure.

        After the last try the upstream's own answer is passed on, whatever its status. `sink.fail` hears
        UpstreamUnreachable, UpstreamTimeout or UpstreamProtocolError.
        """
        return Sending(self, request, sink)

    async def send(self, request: UpstreamRequest) -> Answer:
        """See `freehold.upstreams.base.Upstream`."""
        answer = Answer()
        await answer.head(self.start(request, answer))
        return answer

    async def aclose(self) -> None:
        """Close all connections."""
        await self._deployment.pool.aclose()

    # What a request on its way asks.

    def choose(self) -> Deployment:
        """Where to send next."""
        return self._deployment

    def pause(self, attempt: int, headers: Headers) -> float | None:
        """See `freehold.upstreams.http.sending.Plan`."""
        if attempt >= self.retries:
            return None
        for name, value in headers:
            if name == b"retry-after":
                try:
                    seconds = float(value)
                except ValueError:
                    break
                return max(0.0, seconds) if seconds <= LONGEST_RETRY_AFTER_SECONDS else None
        return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt) * (0.5 + _jitter.random() / 2)
