"""Hands things to a thread in batches. Who puts them in never waits: what does not fit is counted and forgotten."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
BATCH = 512


class Outbox(Generic[T]):
    """A bounded queue and the thread that empties it, which starts with the first thing, and again after a failure."""

    def __init__(
        self,
        name: str,
        consume: Callable[[list[T]], None],
        dropped: Callable[[int], None],
        *,
        interval: float = 1.0,
        most: int = 2048,
        most_bytes: int = 32_000_000,
    ) -> None:
        """`consume` is called from the thread; `dropped` gets the number of things for which there was no room."""
        self._name = name
        self._consume = consume
        self._dropped = dropped
        self._interval = interval
        self._most = most
        self._most_bytes = most_bytes
        self._put_bytes = 0  # each of the two is written by one thread only
        self._taken_bytes = 0
        self._things: deque[tuple[T, int]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def put(self, thing: T, size: int = 0) -> None:
        """Queue `thing`, which holds on to `size` bytes. Called from one thread only: the event loop's."""
        if len(self._things) >= self._most or self._put_bytes - self._taken_bytes + size > self._most_bytes:
            self._dropped(1)
            return
        self._put_bytes += size
        self._things.append((thing, size))
        if self._thread is None or not self._thread.is_alive():  # it ends when something in it fails
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        if len(self._things) == BATCH:
            self._wake.set()

    def close(self, timeout: float) -> None:
        """Empty the queue, for at most `timeout` seconds."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing  # before the queue is emptied: what is put in after it is not waited for
            if not closing:
                self._wake.wait(self._interval)
                self._wake.clear()
            while self._things:
                batch = [self._things.popleft() for _ in range(min(BATCH, len(self._things)))]
                self._taken_bytes += sum(size for _, size in batch)
                self._hand_over([thing for thing, _ in batch])

    def _hand_over(self, things: list[T]) -> None:
        done = False
        try:
            self._consume(things)
            done = True
        finally:
            if not done:
                self._dropped(len(things))
