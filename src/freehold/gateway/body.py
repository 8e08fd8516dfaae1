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


class ClientWatch:
    """Raises `ClientGone` inside its block when the caller disconnects: an `asyncio.timeout` for people leaving."""

    __slots__ = ("_gone", "_receive", "_task", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ClientWatch:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._start)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.stop()
        if self._gone and kind is asyncio.CancelledError and self._task is not None and self._task.uncancel() == 0:
            raise ClientGone from error

    def stop(self) -> None:
        """Watch no longer: the last bytes are about to be sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def _start(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._task is not None:
            self._gone = True
            self._task.cancel()
