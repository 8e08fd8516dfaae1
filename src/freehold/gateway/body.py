"""Reads a request's body within its limit, and notices a caller who leaves while it is answered."""

from __future__ import annotations

import asyncio

from freehold.domain.errors import BodyTooLarge
from freehold.gateway.replies import Receive

GRACE_SECONDS = 0.1
"""Answers that come sooner are not worth watching for: a watch costs a task."""


class ClientGone(Exception):
    """The caller closed the connection; there is nobody to answer."""


def check_length(length: int, limit: int) -> None:
    """Refuse a body by its announced length.

    Raises:
        BodyTooLarge: it is over `limit` bytes.
    """
    if length > limit:
        raise BodyTooLarge(
            f"The request body is over the limit of {limit} bytes.", "Send less, or raise gateway.max_body_bytes."
        )


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is over `limit` bytes.
        ClientGone: the caller left before its end.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message["body"]
        if not message["more_body"] and not parts:
            check_length(len(part), limit)
            return part
        parts.append(part)
        size += len(part)
        check_length(size, limit)
        if not message["more_body"]:
            return b"".join(parts)


class Watchman:
    """Starts the watches of answers that take long: one timer for all of them, since a timer each costs more."""

    def __init__(self) -> None:
        self._new: set[ClientWatch] = set()
        self._old: set[ClientWatch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, asked for once: asking costs a system call in Python 3.11."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def add(self, watch: ClientWatch) -> None:
        """Start `watch` one to two grace times from now, if it is still here."""
        self._new.add(watch)
        if self._timer is None:
            self._timer = self.loop.call_later(GRACE_SECONDS, self._round)

    def discard(self, watch: ClientWatch) -> None:
        """Forget `watch`."""
        self._new.discard(watch)
        self._old.discard(watch)

    def _round(self) -> None:
        for watch in self._old:
            watch.begin()
        self._old, self._new = self._new, set()
        waiting = self._old or self._new
        self._timer = self.loop.call_later(GRACE_SECONDS, self._round) if waiting else None


class ClientWatch:
    """Raises `ClientGone` inside its block when the caller disconnects: an `asyncio.timeout` for people leaving."""

    __slots__ = ("_gone", "_receive", "_task", "_watcher", "_watchman")

    def __init__(self, receive: Receive, watchman: Watchman) -> None:
        self._receive = receive
        self._watchman = watchman
        self._gone = False
        self._task = asyncio.current_task(watchman.loop)
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ClientWatch:
        self._watchman.add(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.stop()
        if self._gone and kind is asyncio.CancelledError and self._task is not None and self._task.uncancel() == 0:
            raise ClientGone from error

    def stop(self) -> None:
        """Watch no longer: the last bytes are about to be sent."""
        self._watchman.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def begin(self) -> None:
        """Watch from now on."""
        self._watcher = self._watchman.loop.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._task is not None:
            self._gone = True
            self._task.cancel()
