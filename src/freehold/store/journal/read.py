"""Reads what journal writers left behind: the records of segments, of workers alive or dead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import JournalCorrupt, LeaseHeld, StoreError
from freehold.domain.traces import Record
from freehold.store.journal.folder import LOCK_NAME, ROTATE_NAME, SUFFIX, is_locked, segments_of
from freehold.store.journal.format import RecordCodec, is_encrypted
from freehold.store.journal.keys import JournalKeys, key_id_of, locked
from freehold.store.journal.scan import Damage, Frame, SegmentScan
from freehold.store.locks import FileLock

if TYPE_CHECKING:
    from freehold.store.journal.cipher import SegmentCipher

_OFFSET_BITS = 40
_ABANDONED_SECONDS = 3600


def pack_position(segment: int, offset: int) -> int:
    """One growing number for a place in a worker's journal: the segment's number and the offset after a frame."""
    return segment << _OFFSET_BITS | offset


def unpack_position(position: int) -> tuple[int, int]:
    """The (segment, offset) of a packed position."""
    return position >> _OFFSET_BITS, position & ((1 << _OFFSET_BITS) - 1)


class FrameReader:
    """Decrypts and decodes the frames of the segment at `path`: in a worker's folder, or a copy kept elsewhere."""

    def __init__(self, path: Path, keys: JournalKeys | None = None) -> None:
        self._keys = keys
        self._worker, self._segment = identity(path)
        self._codec = RecordCodec()
        self._cipher: SegmentCipher | None = None

    def record(self, frame: Frame) -> Record:
        """The record in `frame`.

        Raises:
            JournalCorrupt: it does not decrypt or decode.
            JournalLocked: it is encrypted with a key that is not at hand.
        """
        payload = frame.payload
        if is_encrypted(payload):
            payload = self._decrypter(payload).decrypt(payload, frame.start)
        return self._codec.unpack(payload)

    def _decrypter(self, payload: bytes) -> SegmentCipher:
        if self._cipher is None:
            if self._keys is None:
                raise locked(f"segment {self._segment} of {self._worker}", key_id_of(payload))
            from freehold.store.journal.cipher import SegmentCipher

            self._cipher = SegmentCipher(self._keys, self._worker, self._segment)
        return self._cipher


class SegmentRead:
    """Iterates over (end offset, record) of one segment's intact frames; then says how the segment ended.

    Memory is bounded by one record. A half frame at the end is `torn` (a writer is at work, or was killed), never an
    error. Damage before an intact frame is skipped and listed in `damage`, and so is a frame that does not decrypt or
    decode; damage that reaches the end is `bad_tail`.

    Raises (while iterating):
        StoreError: the file is gone or cannot be read, or is encrypted with a key that is not at hand.
    """

    def __init__(
        self, path: Path, offset: int = 0, damage: list[Damage] | None = None, *, keys: JournalKeys | None = None
    ) -> None:
        self._scan = SegmentScan(path, offset, damage)
        self._reader = FrameReader(path, keys)

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        for frame in self._scan:
            try:
                record = self._reader.record(frame)
            except JournalCorrupt:
                self._scan.damage.append(Damage(self._scan.path, frame.start, frame.end - frame.start))
                continue
            yield frame.end, record

    @property
    def torn(self) -> bool:
        """Whether it ends in half a frame."""
        return self._scan.torn

    @property
    def damage(self) -> list[Damage]:
        """Met so far."""
        return self._scan.damage

    @property
    def bad_tail(self) -> Damage | None:
        """Damage that reaches the end."""
        return self._scan.bad_tail


def read_segment(path: Path, offset: int = 0, *, keys: JournalKeys | None = None) -> SegmentRead:
    """Read the frames of the segment at `path` that begin at or after `offset`."""
    return SegmentRead(path, offset, keys=keys)


def identity(path: Path) -> tuple[str, int]:
    """The worker's id and the number of the segment at `path`, in a worker's folder or kept as `WORKER-NUMBER.seg`."""
    worker, dash, number = path.name.partition(SUFFIX)[0].rpartition("-")
    return (worker if dash else path.parent.name), int(number)


@dataclass
class WorkerJournal:
    """One worker's folder as it was when it was looked at: what is in `final` is never written to again."""

    folder: Path
    segments: dict[int, Path]
    dead: bool
    damage: list[Damage] = field(default_factory=list[Damage])
    finished: list[int] = field(default_factory=list[int])
    """Final segments that `records` has read to their end."""
    keys: JournalKeys | None = None

    @property
    def worker(self) -> str:
        """The worker's id."""
        return self.folder.name

    def final(self, number: int) -> bool:
        """Whether a segment is never written to again."""
        return self.dead or number < max(self.segments, default=0)

    def records(self, after: int) -> Iterator[tuple[int, Record]]:
        """(position, record) of every intact frame beyond the packed position `after`, oldest first.

        Fills `damage` and `finished`. A segment that vanishes meanwhile was sealed and removed, and is passed over.

        Raises (while iterating):
            StoreError: a segment cannot be read, or is encrypted with a key that is not at hand.
        """
        after_segment, after_offset = unpack_position(after)
        for number, path in sorted(self.segments.items()):
            final = self.final(number)
            if number >= after_segment:
                offset = after_offset if number == after_segment else 0
                read = SegmentRead(path, offset, self.damage, keys=self.keys)
                try:
                    for end, record in read:
                        yield pack_position(number, end), record
                except StoreError:
                    if not path.exists():
                        continue
                    raise
                if final and read.bad_tail is not None:  # of a segment in use, the writer may still be writing it
                    self.damage.append(read.bad_tail)
            if final:
                self.finished.append(number)


def worker_journals(root: Path, keys: JournalKeys | None = None) -> list[WorkerJournal]:
    """The journals of all workers, alive or dead, below `root`; `keys` for what is encrypted."""
    if not root.is_dir():
        return []
    return [_look_at(folder, keys) for folder in sorted(root.iterdir()) if folder.is_dir()]


def _look_at(folder: Path, keys: JournalKeys | None) -> WorkerJournal:
    if not segments_of(folder):
        # Just made, and its lock about to be taken: leave it alone. If it stays so, its worker died there. A clock that
        # jumps can make it look old: its worker then finds its lock gone, and tries again.
        old = time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
        return WorkerJournal(folder, {}, dead=old and not is_locked(folder), keys=keys)
    # The order matters: a worker found dead first has written its last segment before they are listed.
    dead = not is_locked(folder)
    return WorkerJournal(folder, segments_of(folder), dead, keys=keys)


def remove_dead_folder(folder: Path) -> bool:
    """Remove the folder of a dead worker once it holds no segment; False if it is in use or not empty."""
    try:
        lock = FileLock(folder / LOCK_NAME)
    except LeaseHeld:
        return False
    try:
        if any(folder.glob(f"*{SUFFIX}")):
            return False
        (folder / ROTATE_NAME).unlink(missing_ok=True)
        (folder / LOCK_NAME).unlink()
        folder.rmdir()
        return True
    except OSError as error:
        raise StoreError(f"{folder} cannot be removed: {error.strerror}.", "Look at what lies in it.") from error
    finally:
        lock.release()
