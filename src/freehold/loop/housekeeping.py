"""What the loop's service does once a day beside its turns: nothing recorded is kept longer than asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from freehold.domain.errors import FreeholdError, LeaseHeld
from freehold.record.retention import enforce

if TYPE_CHECKING:
    from freehold.config import RetentionSettings
    from freehold.store import Store

LOOK_SECONDS = 600.0
"""Whether a day has gone is looked up so often; by a clock that does not jump."""
_log = structlog.get_logger()


class Housekeeper:
    """Enforces retention when a day has gone since that was last done, by whatever process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = time.monotonic()

    def look(self, settings: RetentionSettings) -> None:
        """Do what is due. What fails is logged, and tried again at the next look."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        try:
            kept = enforce(self._store, settings, time.time_ns())
        except LeaseHeld:  # a sealer is at work just now
            self._next = time.monotonic()
        except FreeholdError as error:
            _log.warning("retention_failed", error=error.message, hint=error.hint)
        else:
            if kept is not None:
                _log.info("retention_enforced", **kept.removed)
