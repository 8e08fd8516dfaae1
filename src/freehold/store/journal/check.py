"""Looks at every segment of the journals and says what is in it. Changes nothing, and needs no keys to count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from freehold.domain.errors import JournalCorrupt, JournalLocked
from freehold.store.journal.format import is_encrypted
from freehold.store.journal.keys import JournalKeys, key_id_of
from freehold.store.journal.read import FrameReader, WorkerJournal, unpack_position
from freehold.store.journal.scan import Frame, SegmentScan


class BadBytes(msgspec.Struct, frozen=True):
    """Bytes of a segment that hold no intact record."""

    offset: int
    length: int


class SegmentCheck(msgspec.Struct):
    """What one segment holds."""

    worker: str
    segment: int
    path: str
    alive: bool
    """Its worker lives."""
    final: bool
    """It is never written to again."""
    bytes: int = 0
    frames: int = 0
    """Frames whose checksum is right."""
    records: int = 0
    """Frames whose record could be read: all, but for locked ones and damage."""
    unsealed: int = 0
    """Frames that are not in the trace table yet."""
    oldest_unsealed_ns: int | None = None
    """When the oldest of them that could be read happened, Unix nanoseconds."""
    encrypted: int = 0
    """Encrypted frames."""
    keys: list[str] = []
    """Ids of the keys they are encrypted with."""
    locked: int = 0
    """Encrypted frames whose key is not at hand."""
    damage: list[BadBytes] = []
    half_bytes: int = 0
    """Half a frame at the end: being written, or cut off when the worker was killed."""
    repaired_bytes: int = 0
    """Where `freehold journal repair` has taken damage out."""

    @property
    def lost_bytes(self) -> int:
        """Bytes of damage."""
        return sum(found.length for found in self.damage)


def check_journal(journal: WorkerJournal, sealed: int) -> list[SegmentCheck]:
    """Each segment of a worker, oldest first; `sealed`: the packed position up to which it is in the trace table.

    Raises:
        StoreError: a segment cannot be read.
    """
    found: list[SegmentCheck] = []
    sealed_segment, sealed_offset = unpack_position(sealed)
    for number, path in sorted(journal.segments.items()):
        check = SegmentCheck(journal.worker, number, str(path), not journal.dead, journal.final(number))
        beyond = sealed_offset if number == sealed_segment else 0

        def unsealed(frame: Frame, number: int = number, beyond: int = beyond) -> bool:
            return number > sealed_segment or (number == sealed_segment and frame.end > beyond)

        _fill(check, path, journal.keys, unsealed)
        found.append(check)
    return found


def _fill(check: SegmentCheck, path: Path, keys: JournalKeys | None, unsealed: Callable[[Frame], bool]) -> None:
    scan, reader, used = SegmentScan(path), FrameReader(path, keys), set[str]()
    for frame in scan:
        check.frames += 1
        fresh = unsealed(frame)
        check.unsealed += fresh
        if is_encrypted(frame.payload):
            check.encrypted += 1
            used.add(key_id_of(frame.payload).hex())
        try:
            at_ns = reader.record(frame).at_ns
        except JournalLocked:
            check.locked += 1
        except JournalCorrupt:
            check.damage.append(BadBytes(frame.start, frame.end - frame.start))
        else:
            check.records += 1
            if fresh:
                check.oldest_unsealed_ns = min(at_ns, check.oldest_unsealed_ns or at_ns)
    check.keys = sorted(used)
    check.bytes = path.stat().st_size
    tail = scan.bad_tail
    if tail is not None and not check.final:  # the writer may be at work there
        check.half_bytes = tail.length
    if scan.torn:
        check.half_bytes = check.bytes - scan.end
    bad = scan.damage + ([tail] if tail is not None and check.final else [])
    check.damage = sorted([*check.damage, *(BadBytes(found.offset, found.length) for found in bad)], key=_offset)
    check.repaired_bytes = scan.gaps


def _offset(found: BadBytes) -> int:
    return found.offset
