"""How journals are written and kept: what `[journal]` says, in the store's own terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from freehold.store.journal.keys import JournalKeys

SYNC_SECONDS = 0.05
SEGMENT_BYTES = 64 * 1024 * 1024
MAX_BYTES = 10_000_000_000


class JournalOptions(NamedTuple):
    """Options of one data folder's journals; the defaults are those of the settings."""

    sync_seconds: float = SYNC_SECONDS
    """A record outlives a power cut after at most this."""
    strict: bool = False
    """A record outlives a power cut as soon as `append` returns."""
    segment_bytes: int = SEGMENT_BYTES
    keep_sealed_seconds: float = 0.0
    """How long sealed segments are kept; 0: removed at once."""
    max_bytes: int = MAX_BYTES
    """Of all segments of the data folder; beyond it appending is refused."""
    keys: JournalKeys | None = None
    """What segments are encrypted with and read by; None: neither."""


DEFAULTS = JournalOptions()
