"""Reads what journal writers left behind: whole frames, half ones at the end, damaged ones in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from freehold.domain.errors import JournalCorrupt, LeaseHeld, StoreError
from freehold.domain.traces import Record
from freehold.store.journal import LOCK_NAME, SUFFIX
from freehold.store.journal_format import HEADER, MAGIC, MAX_PAYLOAD_BYTES, FrameCodec
from freehold.store.locks import FileLock

_OFFSET_BITS = 40
_ABANDONED_SECONDS = 3600
_SCAN_BYTES = 1024 * 1024


def pack_position(segment: int, offset: int) -> int:
    """One growing number for a place in a worker's journal: the segment's number and the offset after a frame."""
    return segment << _OFFSET_BITS | offset


def unpack_position(position: int) -> tuple[int, int]:
    """The (segment, offset) of a packed position."""
    return position >> _OFFSET_BITS, position & ((1 << _OFFSET_BITS) - 1)


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that hold no intact frame."""

    path: Path
    offset: int
    length: int


class SegmentRead:
    """Iterates over (end offset, record) of one segment's intact frames; then says how the segment ended.

    Memory is bounded by one record. A half frame at the end is `torn` (a writer is at work, or was killed), never an
    error. Damage before an intact frame is skipped and listed in `damage`; damage that reaches the end is `bad_tail`.
    """

    def __init__(self, path: Path, offset: int = 0, damage: list[Damage] | None = None) -> None:
        self.path = path
        self.end = offset
        """Offset after the last intact frame."""
        self.torn = False
        self.bad_tail: Damage | None = None
        self.damage = [] if damage is None else damage
        """Added to as it is met."""
        self._codec = FrameCodec()

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        try:
            with self.path.open("rb") as file:
                yield from self._frames(file)
        except OSError as error:
            raise StoreError(
                f"The journal segment {self.path} cannot be read: {error.strerror}.", "Check the disk."
            ) from error

    def _frames(self, file: BinaryIO) -> Iterator[tuple[int, Record]]:
        while True:
            try:
                found = self._frame(file, self.end)
            except JournalCorrupt:
                start = self._next_intact(file, self.end + 1)
                if start is None:
                    self.bad_tail = Damage(self.path, self.end, _size(file) - self.end)
                    return
                self.damage.append(Damage(self.path, self.end, start - self.end))
                self.end = start
                continue
            if found is None:
                start = self._next_intact(file, self.end + 1) if self.torn else None
                if start is None:
                    return
                # Frames follow it: not a half frame at the end, but a header with a wrong length.
                self.torn = False
                self.damage.append(Damage(self.path, self.end, start - self.end))
                self.end = start
                continue
            self.end = found[0]
            yield found

    def _frame(self, file: BinaryIO, offset: int) -> tuple[int, Record] | None:
        """The frame at `offset`; None at the end, with `torn` set if half a frame lies there."""
        file.seek(offset)
        header = file.read(HEADER.size)
        if len(header) < HEADER.size:
            self.torn = bool(header)
            return None
        magic, length, checksum = HEADER.unpack(header)
        if magic != MAGIC or length > MAX_PAYLOAD_BYTES:
            raise JournalCorrupt(f"{self.path} holds no journal frame at offset {offset}.")
        payload = file.read(length)
        if len(payload) < length:
            self.torn = True
            return None
        return offset + HEADER.size + length, self._codec.decode(payload, checksum)

    def _next_intact(self, file: BinaryIO, offset: int) -> int | None:
        """Where the next intact frame begins, or None. Looks for the magic, chunk by chunk."""
        torn, position = self.torn, offset
        try:
            while True:
                file.seek(position)
                chunk = file.read(_SCAN_BYTES)
                at = chunk.find(MAGIC)
                while at >= 0:
                    if self._is_intact(file, position + at):
                        return position + at
                    at = chunk.find(MAGIC, at + 1)
                if len(chunk) < _SCAN_BYTES:
                    return None
                position += _SCAN_BYTES - len(MAGIC) + 1  # the magic may lie across two chunks
        finally:
            self.torn = torn

    def _is_intact(self, file: BinaryIO, offset: int) -> bool:
        try:
            return self._frame(file, offset) is not None
        except JournalCorrupt:
            return False


def read_segment(path: Path, offset: int = 0) -> SegmentRead:
    """Read the frames of the segment at `path` that begin at or after `offset`.

    Raises (while iterating):
        StoreError: the file is gone or cannot be read.
    """
    return SegmentRead(path, offset)


@dataclass
class WorkerJournal:
    """One worker's folder as it was when it was looked at: what is in `final` is never written to again."""

    folder: Path
    segments: dict[int, Path]
    dead: bool
    damage: list[Damage] = field(default_factory=list[Damage])
    finished: list[int] = field(default_factory=list[int])
    """Final segments that `records` has read to their end."""

    @property
    def worker(self) -> str:
        """The worker's id."""
        return self.folder.name

    def records(self, after: int) -> Iterator[tuple[int, Record]]:
        """(position, record) of every intact frame beyond the packed position `after`, oldest first.

        Fills `damage` and `finished`. A segment that vanishes meanwhile was sealed and removed, and is passed over.
        """
        after_segment, after_offset = unpack_position(after)
        newest = max(self.segments, default=0)
        for number, path in sorted(self.segments.items()):
            final = self.dead or number < newest
            if number >= after_segment:
                read = SegmentRead(path, after_offset if number == after_segment else 0, self.damage)
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


def worker_journals(root: Path) -> list[WorkerJournal]:
    """The journals of all workers, alive or dead, below `root`."""
    if not root.is_dir():
        return []
    return [_look_at(folder) for folder in sorted(root.iterdir()) if folder.is_dir()]


def _look_at(folder: Path) -> WorkerJournal:
    if not _segments(folder):
        # Just made, and its lock about to be taken: leave it alone. If it stays so, its worker died there.
        old = time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
        return WorkerJournal(folder, {}, dead=old and not is_locked(folder))
    # The order matters: a worker found dead first has written its last segment before they are listed.
    dead = not is_locked(folder)
    return WorkerJournal(folder, _segments(folder), dead)


def _segments(folder: Path) -> dict[int, Path]:
    return {int(path.stem): path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit()}


def is_locked(folder: Path) -> bool:
    """Whether a living process writes to this worker's folder."""
    if not (folder / LOCK_NAME).exists():
        return False
    try:
        FileLock(folder / LOCK_NAME).release()
    except LeaseHeld:
        return True
    return False


def remove_dead_folder(folder: Path) -> bool:
    """Remove the folder of a dead worker once it holds no segment; False if it is in use or not empty."""
    try:
        lock = FileLock(folder / LOCK_NAME)
    except LeaseHeld:
        return False
    try:
        if any(folder.glob(f"*{SUFFIX}")):
            return False
        (folder / LOCK_NAME).unlink()
        folder.rmdir()
        return True
    except OSError as error:
        raise StoreError(f"{folder} cannot be removed: {error.strerror}.", "Look at what lies in it.") from error
    finally:
        lock.release()


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)
