"""Damage that was found in a journal: kept as it is, logged, and told as an event, once."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from freehold.domain.events import Event
from freehold.domain.ids import content_id
from freehold.store import Store
from freehold.store.journal.repair import keep_damaged
from freehold.store.journal.scan import Damage

_log = structlog.get_logger()


def note_damage(store: Store, damage: Damage, kept: Path | None = None) -> bool:
    """Keep the damaged segment, unless it is `kept` already, and add an event; False if that was told before.

    Raises:
        StoreError: the segment cannot be kept, or the event not be added.
    """
    kept = kept or keep_damaged(damage.path, store.damaged_root)
    message = f"{damage.length} bytes of {damage.path.name} at offset {damage.offset} were unreadable; kept in {kept}."
    _log.error("journal_damaged", path=str(damage.path), offset=damage.offset, bytes=damage.length, kept=str(kept))
    where = f"{damage.path.parent.name}/{damage.path.name}/{damage.offset}"
    event = Event(
        event_id=content_id("ev", b"journal-damaged", where.encode()),
        at_ns=time.time_ns(),
        kind="journal-damaged",
        task="",
        message=message,
        evidence={"segment": where, "offset": damage.offset, "bytes": damage.length, "kept": str(kept)},
    )
    return store.control.add_event(event)
