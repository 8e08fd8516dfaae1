"""The connections to one origin: kept, reused last-in first-out, bounded in number."""

from __future__ import annotations

import asyncio
from typing import Protocol

from freehold.domain.errors import (
    FreeholdError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from freehold.upstreams.http.connect import Connector
from freehold.upstreams.http.connection import Connection, Timeouts


class Waiter(Protocol):
    """Waits for a connection; hears one of these once, in a later turn of the loop."""

    def connected(self, connection: Connection) -> None:
        """Here is a connection."""
        ...

    def unconnected(self, error: UpstreamError) -> None:
        """There is none."""
        ...


class Pool:
    """Hands out connections to one origin; those who ask wait in line when all are busy."""

    def __init__(self, name: str, connector: Connector, timeouts: Timeouts, max_connections: int) -> None:
        self.name = name
        self._connector = connector
        self._timeouts = timeouts
        self._max = max_connections
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._line: dict[Waiter, asyncio.TimerHandle] = {}
        """Who waits, first come first served, with the end of their patience."""
        self._apart: dict[Waiter, asyncio.TimerHandle] = {}
        """Who waits for a connection of their own."""
        self._connects: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None
        self._retired = False

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def take(self) -> Connection | None:
        """A kept connection, if there is one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.alive():
                return connection
        return None

    def ask(self, waiter: Waiter, *, fresh: bool = False) -> None:
        """Have `waiter` get a kept connection or a new one, within the connect timeout.

        `fresh`: a new one, whatever is kept: for a request that a kept one has just failed (may exceed the limit).
        It hears UpstreamUnreachable where the origin refuses, does not resolve or its certificate is not accepted, and
        UpstreamTimeout where there is no connection in time, or all stay busy for as long.
        """
        late = asyncio.get_running_loop().call_later(self._timeouts.connect, self._late, waiter)
        if fresh:
            self._apart[waiter] = late
            self._reach(waiter)
        else:
            self._line[waiter] = late
            self._reach_enough()

    def leave(self, waiter: Waiter) -> None:
        """`waiter` waits no more, if it did."""
        late = self._line.pop(waiter, None) or self._apart.pop(waiter, None)
        if late is not None:
            late.cancel()

    def retire(self) -> None:
        """Keep no connection beyond its exchange: the settings have changed, and new requests go elsewhere."""
        self._retired = True
        while self._idle:
            self._idle.popitem()[0].drop()

    async def aclose(self) -> None:
        """Cut every connection; all who wait are told."""
        for connection in tuple(self._open):
            connection.shut()
        self._idle.clear()
        stopping = f"Upstream {self.name!r} is not asked any more: the gateway is stopping."
        for waiter in (*self._line, *self._apart):
            self.leave(waiter)
            waiter.unconnected(UpstreamProtocolError(stopping, "Try again."))
        for connect in tuple(self._connects):
            connect.cancel()
        await asyncio.gather(*self._connects, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    # What a connection calls.

    def opened(self, connection: Connection) -> None:
        """The connection is up."""
        self._open.add(connection)
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(self._timeouts.tick, self._tick)

    def idle(self, connection: Connection) -> None:
        """The connection can carry another exchange."""
        if not self._line:
            if self._retired:
                connection.drop()
            else:
                self._idle[connection] = None
            return
        waiter = next(iter(self._line))
        self._line.pop(waiter).cancel()
        waiter.connected(connection)

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._reach_enough()

    # Connecting.

    def _reach_enough(self) -> None:
        """Begin as many connects as there are waiters and room for."""
        connects = max(0, len(self._connects) - len(self._apart))
        room = self._max - len(self._open) - connects
        for _ in range(min(len(self._line) - connects, room)):
            self._reach(None)

    def _reach(self, waiter: Waiter | None) -> None:
        connect = asyncio.get_running_loop().create_task(self._connect(waiter))
        self._connects.add(connect)

    async def _connect(self, waiter: Waiter | None) -> None:
        """Connect for `waiter`, or for whoever is first in line then."""
        loop = asyncio.get_running_loop()
        failure: UpstreamError | None = None
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                connection = await self._connector.connect(lambda: Connection(self, self._timeouts, loop))
            if not connection.alive():
                raise OSError("it closed the connection at once")
        except TimeoutError:
            pass  # those who wait have their own timers, with the same limit
        except OSError as error:
            failure = UpstreamUnreachable(
                f"Upstream {self.name!r} at {self._connector.text} cannot be reached: {error.strerror or error}.",
                "Check that it runs, its base_url and the network.",
            )
        except FreeholdError as error:
            failure = error if isinstance(error, UpstreamError) else UpstreamUnreachable(error.message, error.hint)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._connects.discard(task)
        if failure is not None:
            self._refuse(failure, waiter)
        elif connection is not None:
            self._hand(connection, waiter)
        self._reach_enough()

    def _hand(self, connection: Connection, waiter: Waiter | None) -> None:
        late = None if waiter is None else self._apart.pop(waiter, None)
        if waiter is not None and late is not None:
            late.cancel()
            waiter.connected(connection)
        else:
            self.idle(connection)

    def _refuse(self, error: UpstreamError, waiter: Waiter | None) -> None:
        """Tell the one it was for, or the first in line: each connect that fails stands for one who waits."""
        if waiter is None:
            waiter = next(iter(self._line), None)
        elif waiter not in self._apart:
            return
        if waiter is not None:
            self.leave(waiter)
            waiter.unconnected(error)

    def _late(self, waiter: Waiter) -> None:
        self.leave(waiter)
        waiter.unconnected(
            UpstreamTimeout(
                f"Upstream {self.name!r} gave no connection within {self._timeouts.connect:g} seconds "
                f"({len(self._open)} are open).",
                "Check its base_url, or raise its connect_timeout or max_connections.",
            )
        )

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in tuple(self._open):
            connection.check(now)
        self._ticking = loop.call_later(self._timeouts.tick, self._tick) if self._open else None
