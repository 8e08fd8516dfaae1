"""Writes entries in a thread of its own, and sweeps the folder now and then: neither is in a request's path."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from queue import Empty, Full, Queue
from typing import NamedTuple

import structlog

from freehold.domain.errors import StoreError
from freehold.gateway.cache.entry import Entry, lasting
from freehold.gateway.cache.files import Files
from freehold.gateway.cache.sweep import sweep
from freehold.gateway.cache.whole import is_whole

QUEUE = 256
"""Answers waiting to be written; what comes on top of them is not kept."""
SWEEP_SHARE = 1 / 16
"""A worker sweeps when it has written this share of the limit since it last did. A sweep leaves a quarter free, so up
to four workers keep the limit (but for the last answer of each, and for what others write during a sweep)."""
SWEEP_SECONDS = 300.0
"""And so often, where anything was written, so that what has expired goes."""
_log = structlog.get_logger()


class Job(NamedTuple):
    """An answer that ended well, as far as the connection tells."""

    path: str
    entry: Entry


class Writer:
    """One per worker; its thread starts with the first answer."""

    def __init__(self, files: Files, counts: Counter[str], *, max_bytes: int, ttl: float) -> None:
        self._files = files
        self._counts = counts
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._queue: Queue[Job | None] = Queue(QUEUE)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = max_bytes  # whatever an earlier process left is looked at after the first write
        self._works = True
        self._closed = False

    def put(self, job: Job) -> None:
        """Have an answer written; it is dropped, and counted, where the disk does not keep up."""
        if self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-writer", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(job)
        except Full:
            self._counts["dropped"] += 1

    def close(self, *, wait: bool = True) -> None:
        """Write what is waiting, then end; from now on nothing more is taken. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._thread is not None:
            with contextlib.suppress(Full):  # then it is awake anyway
                self._queue.put_nowait(None)
            if wait:
                self._thread.join()

    def settle(self) -> None:
        """Wait until all that was put has been written."""
        self._queue.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=SWEEP_SECONDS)
            except Empty:
                if self._written:
                    self._sweep()
                continue
            try:
                if job is not None:
                    self._keep(job)
            finally:
                self._queue.task_done()
            if self._closed and self._queue.empty():
                return
            if self._written >= self._max_bytes * SWEEP_SHARE:
                self._sweep()

    def _keep(self, job: Job) -> None:
        entry = job.entry
        if not is_whole(entry.headers, entry.body):
            self._counts["not_whole"] += 1
            return
        kept = Entry(entry.at, entry.upstream, entry.trace, lasting(entry.headers), entry.body)
        try:
            self._written += self._files.write(job.path, kept)
        except OSError as error:
            self._failed(f"{self._files.folder}: {error.strerror}")
            return
        self._works = True
        self._counts["kept"] += 1

    def _sweep(self) -> None:
        try:
            left = sweep(self._files.folder, max_bytes=self._max_bytes, ttl=self._ttl, stop=self._stop)
        except (OSError, StoreError) as error:
            self._failed(str(error))
            return
        self._written = 0
        if left is not None:
            self._counts["bytes"] = left

    def _failed(self, why: str) -> None:
        """Counted each time, said once: a full disk must not fill the log as well."""
        self._counts["failed"] += 1
        if self._works:
            _log.warning("cache-not-written", why=why, hint="Traffic flows; check the disk and the data folder.")
        self._works = False
