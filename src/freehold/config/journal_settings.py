"""The settings of the journal, frozen."""

from __future__ import annotations

from typing import Annotated

import msgspec

_Positive = Annotated[float, msgspec.Meta(gt=0.0)]
_Hours = Annotated[float, msgspec.Meta(ge=0.0)]
_SegmentBytes = Annotated[int, msgspec.Meta(ge=65_536, le=4_000_000_000)]
_JournalBytes = Annotated[int, msgspec.Meta(ge=1_000_000)]


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[journal]`: where every exchange is kept until it is sealed into the trace table."""

    sync_ms: _Positive = 50.0
    """What was recorded outlives the death of a worker at once, and a power cut after at most this."""
    strict: bool = False
    """True: a response ends only after its record would outlive a power cut as well. Each then waits for the disk, and
    a worker's responses one after the other."""
    segment_bytes: _SegmentBytes = 67_108_864
    """A segment is a file; once it is this long the next one is begun."""
    keep_sealed_hours: _Hours = 0.0
    """How long segments are kept after all that is in them is in the trace table; 0: removed at once."""
    max_bytes: _JournalBytes = 10_000_000_000
    """Of all workers' segments together. Beyond it recording is shed, and counted, until the loop has sealed enough;
    traffic flows."""
    encryption_key_env: str = ""
    """Environment variable with the key (`freehold journal key`) that segments are encrypted with; further keys after a
    comma only read what they once wrote. Empty: not encrypted, unless encryption_keyring is set."""
    encryption_keyring: str = ""
    """The service in the system's keyring whose password, of the user `journal`, is that key. Needs
    `freehold[keyring]`."""
