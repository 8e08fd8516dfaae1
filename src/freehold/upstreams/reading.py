"""A pushed answer that a coroutine reads: for whoever must wait for a head, or for a whole answer."""

from __future__ import annotations

import asyncio

from freehold.domain.errors import UpstreamError
from freehold.upstreams.base import Call, Headers

HIGH_WATER = 262_144
"""Bytes that may wait for a slow reader before the upstream is made to wait too."""


class Answer:
    """A `freehold.upstreams.base.Sink` with one reader (see `freehold.upstreams.base.UpstreamResponse`)."""

    __slots__ = (
        "_call",
        "_chunks",
        "_error",
        "_loop",
        "_paused",
        "_size",
        "_waiter",
        "done",
        "headers",
        "status",
        "upstream",
    )

    def __init__(self) -> None:
        """Made on the event loop that reads it."""
        self.upstream = ""
        """Who answers."""
        self.status = 0
        self.headers: Headers = []
        self.done = False
        """Whether the whole body has come."""
        self._loop = asyncio.get_running_loop()
        self._call: Call | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the reader calls.

    async def head(self, call: Call) -> None:
        """Wait for status and headers of the answer that `call` brings.

        Raises:
            UpstreamError: no answer began.
        """
        self._call = call
        try:
            while not self.status:
                if self._error is not None:
                    raise self._error
                await self._wait()
        except asyncio.CancelledError:
            self.close()
            raise

    @property
    def at_end(self) -> bool:
        """Whether the whole body has come and been read."""
        return self.done and not self._chunks

    async def read(self) -> bytes:
        """All bytes that have come since the last read; `b""` at the end. Raises the error that cut the body short."""
        while not self._chunks:
            if self.done:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        chunks, self._chunks, self._size = self._chunks, [], 0
        if self._paused and self._call is not None:
            self._paused = False
            self._call.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Give up what has not been read; cuts the connection unless the answer is complete."""
        if not self.done and self._error is None and self._call is not None:
            self._call.cancel()

    # What the upstream calls.

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `freehold.upstreams.base.Sink`."""
        self.upstream, self.status, self.headers = upstream, status, headers

    def data(self, chunk: bytes, last: bool) -> None:
        """See `freehold.upstreams.base.Sink`."""
        if chunk:
            self._chunks.append(chunk)
            self._size += len(chunk)
        self.done = last
        if self._size > HIGH_WATER and not last and not self._paused and self._call is not None:
            self._paused = True
            self._call.pause()
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        """Nothing more will come; what has come can still be read."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
