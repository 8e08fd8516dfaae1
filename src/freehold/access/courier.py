"""A thread that asks the control store, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from freehold.domain.errors import FreeholdError
from freehold.store import ControlStore

T = TypeVar("T")
_Job = Callable[[], None]
_log = structlog.get_logger()


class Courier:
    """Runs questions one after another, and one of them, the poll, every few moments. Answers arrive in the loop."""

    def __init__(
        self, open_store: Callable[[], ControlStore], poll: Callable[[ControlStore], Any], every: float
    ) -> None:
        """`open_store` and `poll` are called in the thread."""
        self._open_store = open_store
        self._poll = poll
        self._every = every
        self._store: ControlStore | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="access", daemon=True)
        self._told: Callable[[Any], None] = lambda _: None

    def start(self, told: Callable[[Any], None]) -> None:
        """Begin to poll; `told` gets, in the running loop, what each poll returned, or a FreeholdError."""
        self._loop = asyncio.get_running_loop()
        self._told = told
        self._thread.start()

    def ask(self, question: Callable[[ControlStore], T], then: Callable[[T | FreeholdError], None]) -> None:
        """Put `question` to the store; `then` gets the answer, or why there is none, in the loop."""
        self._jobs.put(lambda: self._answer(question, then))

    def stop(self, timeout: float) -> None:
        """End after what was asked before; a thread that hangs in the database is left behind after `timeout` seconds.

        Blocks: call it from another thread than the loop's.
        """
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        due = 0.0
        while True:
            wait = due - time.monotonic()
            if wait <= 0:
                self._answer(self._poll, self._told)
                due = time.monotonic() + self._every
                continue
            try:
                job = self._jobs.get(timeout=wait)
            except queue.Empty:
                continue
            if job is None:
                break
            job()
        if self._store is not None:
            self._store.close()

    def _answer(self, question: Callable[[ControlStore], T], then: Callable[[T | FreeholdError], None]) -> None:
        answer: T | FreeholdError
        try:
            if self._store is None:
                self._store = self._open_store()
            answer = question(self._store)
        except FreeholdError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - logged; who asked must hear something, or requests would hang
            _log.exception("access-store-failed")
            answer = FreeholdError(f"The control store could not be asked ({type(error).__name__}).", "See the log.")
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who asked
            self._loop.call_soon_threadsafe(then, answer)
