"""Counts of one worker in a mapped file, so that any worker can read them and a killed worker loses none.

    <data>/metrics/<worker>.counts    locked (flock) while the worker lives; segments of 64 KiB

A segment is `MAGIC`, the number of its bytes in use, and records one after another. A record is the length of its name,
the number of its slots, the CRC32 of its name, a zero (all u32), the name (JSON: family and label values, padded to
eight bytes), and its slots, int64 each. Numbers are in the machine's own byte order: the file never leaves it.

A record is written whole before the number of bytes in use moves past it, so a reader sees all of it or nothing. To
count is one aligned eight-byte store into memory that belongs to the file: it outlives the process, though not a power
cut, for which counters may start again. Space is allocated before it is mapped: on a full disk, writing into a hole of
a mapped file would kill the process.

prometheus_client's multi-process mode was measured beside this: 1.5 µs per increment and 3.3 µs per observation with
the child at hand (here 0.1 and 0.5), and 83 ms of CPU to import.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path
from zlib import crc32

import msgspec
import structlog

MAGIC = b"FHCOUNT1"
HEADER = struct.Struct("=8sQ")
RECORD = struct.Struct("=IIII")
SEGMENT_BYTES = 65_536
MAX_SEGMENTS = 64
"""4 MiB: some ten thousand series."""
SUFFIX = ".counts"
_WORD = 8

Name = tuple[str, tuple[str, ...]]
"""A family and its labels' values."""

_log = structlog.get_logger()
_json = msgspec.json.Encoder()


class Slots:
    """Where one series is counted: `view[at] += 1`."""

    __slots__ = ("at", "view")

    def __init__(self, view: memoryview[int], at: int) -> None:
        self.view = view
        self.at = at


class Counts:
    """All series of one worker. Without a folder, or with a full disk, they are in this process's memory only."""

    def __init__(self) -> None:
        self._fd = -1
        self._segments = 0
        self._segment: memoryview[int] = memoryview(bytearray(0)).cast("q")
        self._bytes: mmap.mmap | bytearray = bytearray(0)
        self._used = SEGMENT_BYTES  # so that the first series opens a segment
        self._known: dict[Name, tuple[Slots, int]] = {}
        self.private = True
        """Other workers cannot see these counts."""
        self.full = False
        """There was no room for a series: it is counted, but nobody will see it."""

    def open(self, folder: Path, worker: str) -> None:
        """Count in a file of `folder` from now on; what was counted before moves into it. Never raises OSError."""
        path = folder / f"{worker}{SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Locked before it has its name: what has it and is not locked belongs to the dead.
            new = path.with_suffix(".new")
            self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(path)
        except OSError as error:
            self._fd = -1
            _log.warning("metrics-private", path=str(path), error=error.strerror)
            return
        self.private = False
        self._move()

    def close(self) -> None:
        """Unlock the file: whoever reads it now knows that its worker has gone. The counts stay."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1

    def slots(self, family: str, labels: tuple[str, ...], size: int = 1) -> Slots:
        """The slots of a series, zero when it is new; the same ones every time."""
        name = (family, labels)
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = (self._add(name, size), size)
        return found[0]

    def _add(self, name: Name, size: int) -> Slots:
        text = _json.encode(name)
        padded = text.ljust(-(-len(text) // _WORD) * _WORD)
        length = RECORD.size + len(padded) + size * _WORD
        if self._used + length > SEGMENT_BYTES and not self._next_segment():
            self.full = True
            return Slots(memoryview(bytearray(size * _WORD)).cast("q"), 0)
        at = self._used
        self._bytes[at : at + length - size * _WORD] = RECORD.pack(len(text), size, crc32(text), 0) + padded
        self._used = at + length
        self._segment[1] = self._used  # last: now the record is there
        return Slots(self._segment, (self._used - size * _WORD) // _WORD)

    def _next_segment(self) -> bool:
        if self._segments >= MAX_SEGMENTS:
            return False
        self._bytes = self._mapped() or bytearray(SEGMENT_BYTES)
        self._bytes[: HEADER.size] = HEADER.pack(MAGIC, HEADER.size)
        self._segment = memoryview(self._bytes).cast("q")
        self._segments += 1
        self._used = HEADER.size
        return True

    def _mapped(self) -> mmap.mmap | None:
        if self.private:
            return None
        start = self._segments * SEGMENT_BYTES
        try:
            os.posix_fallocate(self._fd, start, SEGMENT_BYTES)
            return mmap.mmap(self._fd, SEGMENT_BYTES, offset=start)
        except OSError as error:
            self.private = True
            _log.warning("metrics-private", error=os.strerror(error.errno or errno.EIO))
            return None

    def _move(self) -> None:
        self._segments, self._used = 0, SEGMENT_BYTES
        for name, (slots, size) in self._known.items():
            new = self._add(name, size)
            for slot in range(size):
                new.view[new.at + slot] = slots.view[slots.at + slot]
            slots.view, slots.at = new.view, new.at  # whoever holds them counts on in the file

    def snapshot(self) -> dict[Name, list[int]]:
        """What is counted here."""
        return {name: list(slots.view[slots.at : slots.at + size]) for name, (slots, size) in list(self._known.items())}
