"""Where pages are made: in a few threads of their own, within a time, from a store that is opened when first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.domain.errors import StoreError

if TYPE_CHECKING:
    from freehold.store import Store

THREADS = 2
"""Pages made at once: looking must not take the machine from answering."""
WAITING = 16
"""Pages that may wait for a thread."""
PAGE_SECONDS = 20.0


class Desk:
    """Runs page functions over one store. Cheap to make: nothing is opened before the first page."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dashboard")
        self._under_way = 0

    async def make(self, page: Callable[[Store], str]) -> str:
        """What `page` gives, made in a thread.

        Raises:
            StoreError: the store cannot be read, too many pages wait already, or this one took too long.
            FreeholdError: whatever else `page` raises of our tree.
        """
        if self._under_way >= THREADS + WAITING:
            raise StoreError("Too many pages are being made already.", "Wait a moment, then reload.")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._run, page)
        future.add_done_callback(self._done)
        try:
            # Shielded: a thread cannot be stopped, and its page counts as under way until it has ended.
            return await asyncio.wait_for(asyncio.shield(future), PAGE_SECONDS)
        except TimeoutError as error:
            raise StoreError(
                f"The page was not ready within {PAGE_SECONDS:.0f} seconds.", "Choose a shorter span of time."
            ) from error

    def _done(self, future: asyncio.Future[str]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()  # looked at, so that a page nobody waits for any more is no unhandled failure

    def _run(self, page: Callable[[Store], str]) -> str:
        return page(self._opened())

    def _opened(self) -> Store:
        from freehold.record.opening import open_store

        with self._lock:
            if self._store is None:
                self._store = open_store(self.settings)
            return self._store
