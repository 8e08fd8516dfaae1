"""What the gateway calls to record an exchange. It never raises into traffic: what cannot be written is shed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from freehold.domain.errors import StoreError
from freehold.domain.traces import Record

WARN_EVERY_SECONDS = 60.0
_log = structlog.get_logger()


class Journal(Protocol):
    """Where records go: `freehold.store.JournalWriter`."""

    def append(self, record: Record, /) -> None:
        """Keep `record`, or raise StoreError."""
        ...


class Recorder:
    """Appends records to a journal; counts and says what it had to shed."""

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.recorded = 0
        self.shed = 0
        """Records that could not be written (disk full, for instance)."""
        self.last_error: StoreError | None = None
        """Why the last record was shed; None once a record is written again."""
        self._journal = journal
        self._clock = clock
        self._warned_at = float("-inf")

    def record(self, record: Record) -> bool:
        """Append `record`; True if it is kept, False if it was shed. Never raises StoreError."""
        try:
            self._journal.append(record)
        except StoreError as error:
            self._shed(error)
            return False
        self.recorded += 1
        self.last_error = None
        return True

    def _shed(self, error: StoreError) -> None:
        self.shed += 1
        self.last_error = error
        now = self._clock()
        if now - self._warned_at >= WARN_EVERY_SECONDS:
            self._warned_at = now
            _log.error("recording_shed", code=error.code, error=error.message, hint=error.hint, shed=self.shed)
