"""Finds the frames of a segment without looking into them: whole ones, a half one at the end, damage in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from freehold.domain.errors import StoreError
from freehold.store.journal.format import (
    ANY_MAGIC,
    FIRST_HEADER,
    FIRST_MAGIC,
    GAP,
    HEADER,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    checksum,
)

_SCAN_BYTES = 1024 * 1024


class Frame(NamedTuple):
    """A frame whose checksum is right."""

    start: int
    end: int
    """Offset after it."""
    salt: bytes
    """Empty in frames of the first format."""
    payload: bytes


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that hold no intact frame."""

    path: Path
    offset: int
    length: int


class _Nothing(Enum):
    """What lies where no intact frame does."""

    END = auto()
    HALF = auto()
    GAP = auto()
    DAMAGE = auto()


class SegmentScan:
    """Iterates over one segment's intact frames; then says how the segment ended.

    Memory is bounded by one frame. A half frame at the end is `torn` (a writer is at work, or was killed), never an
    error. Damage before an intact frame is skipped and listed in `damage`; damage that reaches the end is `bad_tail`.
    Gaps that repair left are skipped, and counted in `gaps`.

    Raises (while iterating):
        StoreError: the file is gone or cannot be read.
    """

    def __init__(self, path: Path, offset: int = 0, damage: list[Damage] | None = None) -> None:
        self.path = path
        self.end = offset
        """Offset after the last intact frame."""
        self.torn = False
        self.bad_tail: Damage | None = None
        self.damage = [] if damage is None else damage
        """Added to as it is met."""
        self.gaps = 0
        """Bytes of gaps so far."""
        self._salt: bytes | None = None
        """The segment's, once a frame was found where one had to be: at the start, or right after another."""
        self._in_sequence = True

    def __iter__(self) -> Iterator[Frame]:
        try:
            with self.path.open("rb") as file:
                yield from self._frames(file)
        except OSError as error:
            raise StoreError(
                f"The journal segment {self.path} cannot be read: {error.strerror}.", "Check the disk."
            ) from error

    def _frames(self, file: BinaryIO) -> Iterator[Frame]:
        file.seek(self.end)
        while True:
            found = self._read_frame(file, self.end)
            if isinstance(found, Frame):
                if self._in_sequence:
                    self._salt = found.salt
                self.end = found.end
                yield found
            elif found is _Nothing.END:
                return
            elif found is _Nothing.GAP:
                self._skip_gap(file)
            elif not self._skip_damage(file, found):
                return

    def _read_frame(self, file: BinaryIO, start: int, salt: bytes | None = None) -> Frame | _Nothing:
        """The frame at `start`, where `file` stands; with `salt`, only one of that salt."""
        header = file.read(HEADER.size)
        if not header:
            return _Nothing.END
        if header.startswith(GAP):
            return _Nothing.GAP
        if len(header) < HEADER.size:
            return _Nothing.HALF
        magic, length, own_salt, crc = HEADER.unpack(header)
        if magic == FIRST_MAGIC:
            return _read_first_frame(file, start, header, salt)
        if magic != MAGIC or length > MAX_PAYLOAD_BYTES or salt not in (None, own_salt):
            return _Nothing.DAMAGE
        payload = file.read(length)
        if len(payload) < length:
            return _Nothing.HALF
        if checksum(payload, own_salt) != crc:
            return _Nothing.DAMAGE
        return Frame(start, start + HEADER.size + length, own_salt, payload)

    def _skip_gap(self, file: BinaryIO) -> None:
        began, end = self.end, self.end
        file.seek(end)
        while chunk := file.read(_SCAN_BYTES):
            rest = chunk.lstrip(GAP)
            end += len(chunk) - len(rest)
            if rest:
                break
        self.gaps += end - began
        self.end = end
        file.seek(end)

    def _skip_damage(self, file: BinaryIO, found: _Nothing) -> bool:
        """Go on at the next intact frame; False if there is none."""
        start = self._next_intact(file, self.end + 1)
        if start is None:
            if found is _Nothing.HALF:
                self.torn = True
            else:
                self.bad_tail = Damage(self.path, self.end, file.seek(0, 2) - self.end)
            return False
        # Where frames follow half a one, its length was wrong, or the rest of it was never written.
        self.damage.append(Damage(self.path, self.end, start - self.end))
        self.end = start
        self._in_sequence = False
        file.seek(start)
        return True

    def _next_intact(self, file: BinaryIO, offset: int) -> int | None:
        """Where the next intact frame of this segment begins, or None. Looks for the magic, chunk by chunk."""
        salt = self._salt_of(file)
        while True:
            file.seek(offset)
            chunk = file.read(_SCAN_BYTES)
            at = chunk.find(ANY_MAGIC)
            while at >= 0:
                file.seek(offset + at)
                if isinstance(self._read_frame(file, offset + at, salt), Frame):
                    return offset + at
                at = chunk.find(ANY_MAGIC, at + 1)
            if len(chunk) < _SCAN_BYTES:
                return None
            offset += _SCAN_BYTES - len(ANY_MAGIC) + 1  # the magic may lie across two chunks

    def _salt_of(self, file: BinaryIO) -> bytes | None:
        """The segment's salt; None if nothing intact is left that tells it."""
        if self._salt is None:
            file.seek(0)
            first = self._read_frame(file, 0)
            self._salt = first.salt if isinstance(first, Frame) else None
        return self._salt


def _read_first_frame(file: BinaryIO, start: int, header: bytes, salt: bytes | None) -> Frame | _Nothing:
    """A frame of the first format, whose header is shorter."""
    _, length, crc = FIRST_HEADER.unpack_from(header)
    if length > MAX_PAYLOAD_BYTES or salt:
        return _Nothing.DAMAGE
    file.seek(start + FIRST_HEADER.size)
    payload = file.read(length)
    if len(payload) < length:
        return _Nothing.HALF
    if crc32(payload) != crc:
        return _Nothing.DAMAGE
    return Frame(start, start + FIRST_HEADER.size + length, b"", payload)
