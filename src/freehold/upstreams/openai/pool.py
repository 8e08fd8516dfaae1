"""The connections to one origin: kept, reused last-in first-out, bounded in number."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

from freehold.domain.errors import ConfigError, UpstreamTimeout, UpstreamUnreachable
from freehold.upstreams.openai.connection import Connection, Timeouts


class Origin:
    """Where an upstream is: parsed once from its base URL."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"The base_url {base_url!r} has no usable port.", "Give a number under 65536.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The base_url {base_url!r} is not a URL.", "Give one such as https://host/v1.")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.tls else 80)
        self.path = parts.path.rstrip("/").encode()
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.host_header = (f"{name}:{port}" if port else name).encode()
        self.text = f"{parts.scheme}://{name}:{self.port}"


class Pool:
    """Hands out connections to one origin; waits when all are busy."""

    def __init__(self, name: str, origin: Origin, timeouts: Timeouts, max_connections: int) -> None:
        self.name = name
        self._origin = origin
        self._timeouts = timeouts
        self._max = max_connections
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tls: ssl.SSLContext | None = None

    def take(self) -> Connection | None:
        """A kept connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def acquire(self) -> Connection:
        """A kept connection or a new one.

        Raises:
            UpstreamUnreachable: it refuses, does not resolve, or its certificate is not accepted.
            UpstreamTimeout: no connection within the connect timeout, or all stayed busy for as long.
        """
        try:
            async with asyncio.timeout(self._timeouts.connect):
                while len(self._open) + self._connecting >= self._max:
                    await self._turn()
                    kept = self.take()
                    if kept is not None:
                        return kept
                return await self._connect()
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"Upstream {self.name!r} gave no connection within {self._timeouts.connect:g} seconds "
                f"({len(self._open)} are open).",
                "Check its base_url, or raise its connect_timeout or max_connections.",
            ) from error

    async def fresh(self) -> Connection:
        """A new connection, whatever is kept: for a request that a kept one has just failed (may exceed the limit)."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                return await self._connect()
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"Upstream {self.name!r} gave no connection within {self._timeouts.connect:g} seconds.",
                "Check its base_url, or raise its connect_timeout.",
            ) from error

    async def aclose(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._open):
            connection.shut()
        self._idle.clear()

    # What a connection calls.

    def opened(self, connection: Connection) -> None:
        """The connection is up."""
        self._open.add(connection)

    def idle(self, connection: Connection) -> None:
        """The connection can carry another exchange."""
        self._idle.append(connection)
        self._wake()

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self, self._timeouts, loop),
                self._origin.host,
                self._origin.port,
                ssl=self._context(),
            )
        except OSError as error:
            raise UpstreamUnreachable(
                f"Upstream {self.name!r} at {self._origin.text} cannot be reached: {error.strerror or error}.",
                "Check that it runs, its base_url and the network.",
            ) from error
        finally:
            self._connecting -= 1
            self._wake()
        return connection

    def _context(self) -> ssl.SSLContext | None:
        if self._origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()  # loads the trust store: only once TLS is needed
        return self._tls

    async def _turn(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # the turn was given to one who left: pass it on
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
