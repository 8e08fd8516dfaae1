"""One place where a model is served: its address, its key, its connections, and how it has been doing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from freehold.domain.errors import UpstreamError
from freehold.upstreams.base import Headers, UpstreamRequest
from freehold.upstreams.health import Health
from freehold.upstreams.http.backoff import retry_after
from freehold.upstreams.http.breaker import Breaker, State
from freehold.upstreams.http.connection import Connection
from freehold.upstreams.http.pool import Waiter

LIMITED_SECONDS = 1.0
"""Rest of a deployment that says 429 without saying for how long."""
LONGEST_LIMITED_SECONDS = 60.0
ANTHROPIC_VERSION = (b"anthropic-version", b"2023-06-01")
"""Sent where the caller sends none: Anthropic answers no request without."""
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods whose requests say their length even when it is zero (RFC 9110, 8.6)."""


class Connections(Protocol):
    """The pool, as a deployment and the tries at it see it."""

    @property
    def connections(self) -> int:
        """How many are open."""
        ...

    def take(self) -> Connection | None:
        """A kept connection, if there is one."""
        ...

    def ask(self, waiter: Waiter, *, fresh: bool = False) -> None:
        """Have `waiter` get a kept connection or a new one."""
        ...

    def leave(self, waiter: Waiter) -> None:
        """`waiter` waits no more, if it did."""
        ...

    def retire(self) -> None:
        """Keep no connection beyond its exchange."""
        ...

    async def aclose(self) -> None:
        """Cut every connection."""
        ...


class Target(Protocol):
    """What a request's first lines are made of."""

    text: str
    """Scheme, host and port."""
    host_header: bytes
    prefix: bytes
    """What goes before the request's path: the base URL's path; for a proxy that relays, all of the base URL."""
    extra: bytes
    """Further header lines, each with its line end: a proxy's credentials."""


class Deployment:
    """Turns requests into bytes for one origin, and judges by its answers whether it is well."""

    __slots__ = (
        "_anthropic",
        "_clock",
        "_fixed",
        "_key",
        "_labels",
        "_prefix",
        "breaker",
        "current",
        "last_error",
        "limited_until",
        "name",
        "origin",
        "outstanding",
        "pool",
        "weight",
    )

    def __init__(
        self,
        name: str,
        target: Target,
        pool: Connections,
        *,
        api_key: str | None = None,
        protocol: str = "openai",
        weight: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name`: of the upstream; `api_key` replaces the caller's; `protocol` says in which header it is sent."""
        self.name = name
        self.origin = target.text
        self.pool = pool
        self.weight = weight
        self.current = 0
        """What smooth weighted choice has credited it with."""
        self.outstanding = 0
        """Requests under way."""
        self.breaker = Breaker(clock)
        self.limited_until = 0.0
        """It has said 429, and others are asked until then."""
        self.last_error = ""
        self._clock = clock
        self._prefix = b" " + target.prefix
        # A trace must be readable, and the caller gets the bytes as they come: so the upstream is asked not to
        # compress, instead of being decoded here for the record and passed on encoded.
        self._fixed = b" HTTP/1.1\r\nhost: %s\r\n%saccept-encoding: identity\r\n" % (target.host_header, target.extra)
        self._anthropic = protocol == "anthropic"
        form = "x-api-key: %s\r\n" if self._anthropic else "authorization: Bearer %s\r\n"
        self._key = (form % api_key).encode() if api_key else None
        self._labels: dict[int, str] = {}

    def head(self, request: UpstreamRequest) -> bytes:
        """The request's line and headers."""
        body = request.body
        if request.heads is None or not body:
            length = b"content-length: %d\r\n" % len(body) if body or request.method in _WITH_BODY else b""
            return b"%b%b\r\n" % (self._head(request), length)
        key = (self, request.authorization, request.api_key)
        known = request.heads.get(key)
        if known is None:
            known = request.heads[key] = self._head(request) + b"content-length: "
        return b"%b%d\r\n\r\n" % (known, len(body))

    def _head(self, request: UpstreamRequest) -> bytes:
        """All but the length and the empty line."""
        parts = [request.method, self._prefix, request.path, self._fixed]
        if self._key is not None:
            parts.append(self._key)
        else:
            if request.authorization is not None:
                parts += (b"authorization: ", request.authorization, b"\r\n")
            if request.api_key is not None:
                parts += (b"x-api-key: ", request.api_key, b"\r\n")
        for name, value in request.headers:
            parts += (name, b": ", value, b"\r\n")
        if self._anthropic and not any(name == ANTHROPIC_VERSION[0] for name, _ in request.headers):
            parts += (ANTHROPIC_VERSION[0], b": ", ANTHROPIC_VERSION[1], b"\r\n")
        return b"".join(parts)

    def label(self, status: int) -> str:
        """How a try that was answered so is noted."""
        label = self._labels.get(status)
        if label is None:
            label = self._labels[status] = f"{self.name}: {status}"
        return label

    # How it does.

    @property
    def limited(self) -> bool:
        """Whether it has asked for fewer requests, and others should be asked first."""
        return self.limited_until > 0.0 and self._clock() < self.limited_until

    def answered(self, status: int, headers: Headers, *, probe: bool) -> None:
        """An answer began. A caller's own mistakes, and 429, are no sign of illness."""
        if status < 500:
            self.breaker.succeeded(probe=probe)
            if status == 429:
                wanted = retry_after(headers)
                seconds = LIMITED_SECONDS if wanted is None else min(wanted, LONGEST_LIMITED_SECONDS)
                self.limited_until = self._clock() + seconds
            return
        self.last_error = f"status {status}"
        self.breaker.failed(probe=probe, perhaps_asked_for=status in (500, 501, 505))

    def failed(self, error: UpstreamError, *, probe: bool) -> None:
        """No answer began, or it broke off."""
        self.last_error = str(error)
        self.breaker.failed(probe=probe)

    def health(self) -> Health:
        """How it does now, for those who run the gateway."""
        breaker = self.breaker
        rest = 0.0 if breaker.state is State.CLOSED else max(0.0, breaker.until - self._clock())
        return Health(
            upstream=self.name,
            deployment=self.origin,
            state="limited" if breaker.state is State.CLOSED and self.limited else breaker.state.value,
            in_flight=self.outstanding,
            connections=self.pool.connections,
            failures=breaker.failures,
            last_error=self.last_error,
            rests_for=max(0.0, self.limited_until - self._clock()) if self.limited and not rest else rest,
        )
