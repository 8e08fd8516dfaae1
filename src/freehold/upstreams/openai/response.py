"""An answer as it comes off a connection: the head first, then the body piece by piece."""

from __future__ import annotations

import asyncio
from typing import Protocol

from freehold.domain.errors import UpstreamError
from freehold.upstreams.base import Headers

HIGH_WATER = 262_144
"""Bytes that may wait for a slow reader before the upstream is made to wait too."""


class Carrier(Protocol):
    """What a response asks of the connection that carries it."""

    def pause(self) -> None:
        """Stop reading from the socket."""
        ...

    def resume(self) -> None:
        """Read from the socket again."""
        ...

    def drop(self) -> None:
        """Cut the connection."""
        ...


class HttpResponse:
    """Filled by its connection, read by one consumer (see `freehold.upstreams.base.UpstreamResponse`)."""

    __slots__ = ("_carrier", "_chunks", "_error", "_loop", "_paused", "_size", "_waiter", "done", "headers", "status")

    def __init__(self, carrier: Carrier, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Headers = []
        self.done = False
        self._carrier = carrier
        self._loop = loop
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def at_end(self) -> bool:
        """Whether the whole body has come and been read."""
        return self.done and not self._chunks

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            UpstreamError: the connection failed before they came.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self) -> bytes:
        """All bytes that have come since the last read; `b""` at the end. Raises the error that cut the body short."""
        while not self._chunks:
            if self.done:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        chunks, self._chunks, self._size = self._chunks, [], 0
        if self._paused:
            self._paused = False
            self._carrier.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Give up what has not been read; cuts the connection unless the answer is complete."""
        if not self.done and self._error is None:
            self._carrier.drop()

    def add(self, chunk: bytes) -> None:
        """A piece of the body has come (called by the connection)."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._carrier.pause()

    def fail(self, error: UpstreamError) -> None:
        """Nothing more will come; what has come can still be read (called by the connection)."""
        self._error = error
        self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
