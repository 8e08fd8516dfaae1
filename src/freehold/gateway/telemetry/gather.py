"""Adds up the counts of all workers of a data folder, the dead ones' too; see `counts` for the files.

    <data>/metrics/former.json    what workers counted that had died when another one started, with their names

Counters live as long as the gateway runs: when a supervisor starts and no worker lives, what former ones counted is
removed, and Prometheus sees a reset, as it may. While one lives nothing is removed, for a sum that shrinks would be
taken for a reset too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from freehold.gateway.telemetry.counts import HEADER, MAGIC, RECORD, SEGMENT_BYTES, SUFFIX, Name

FORMER = "former.json"
_LOCK = "fold.lock"
_WORD = 8
_TRIES = 5

Sums = dict[Name, list[int]]


class WorkerCounts(msgspec.Struct, frozen=True):
    """One file's counts."""

    worker: str
    alive: bool
    series: Sums


class _Former(msgspec.Struct):
    workers: list[str] = []
    """Whose files may still lie there: their counts are in `series` already."""
    series: list[tuple[str, tuple[str, ...], list[int]]] = []


_name = msgspec.json.Decoder(tuple[str, tuple[str, ...]])
_former = msgspec.json.Decoder(_Former)


def read_counts(data: bytes) -> Sums:
    """The series in a file's bytes. What is not whole is left out: the next look will see it."""
    found: Sums = {}
    for start in range(0, len(data) - HEADER.size + 1, SEGMENT_BYTES):
        magic, used = HEADER.unpack_from(data, start)
        if magic == MAGIC:
            found.update(_records(data, start + HEADER.size, min(start + used, start + SEGMENT_BYTES, len(data))))
    return found


def _records(data: bytes, at: int, end: int) -> Iterator[tuple[Name, list[int]]]:
    while at + RECORD.size <= end:
        length, slots, checksum, _ = RECORD.unpack_from(data, at)
        text = data[at + RECORD.size : at + RECORD.size + length]
        values = at + RECORD.size + -(-length // _WORD) * _WORD
        at = values + slots * _WORD
        if not length or at > end or crc32(text) != checksum:
            return
        yield _name.decode(text), memoryview(data)[values:at].cast("q").tolist()


def gather(folder: Path) -> tuple[list[WorkerCounts], Sums]:
    """Every worker's counts, and the sums of those who were folded away.

    Raises:
        OSError: the folder or a file in it cannot be read.
    """
    tries = 0
    while True:
        tries += 1
        before = _stamp(folder)
        former = _read_former(folder)
        workers = list(_workers(folder, set(former.workers)))
        # Else somebody folded meanwhile: a worker could be seen twice, or not at all.
        if _stamp(folder) == before or tries == _TRIES:
            return workers, {(family, labels): slots for family, labels, slots in former.series}


def add(sums: Sums, series: Sums) -> None:
    """Add `series` to `sums`, slot by slot."""
    for name, slots in series.items():
        known = sums.get(name)
        sums[name] = slots if known is None else [a + b for a, b in zip(known, slots, strict=True)]


def start_anew(folder: Path) -> None:
    """Called by a supervisor before its workers start: forget what former ones counted, unless one of them lives.

    Raises:
        OSError: a file cannot be removed.
    """
    with _folding(folder) as mine:
        files = list(folder.glob(f"*{SUFFIX}")) if mine else []
        if mine and not any(_alive(path) for path in files):
            (folder / FORMER).unlink(missing_ok=True)
            for path in (*files, *folder.glob("*.new")):
                path.unlink(missing_ok=True)


def fold_dead(folder: Path, *, more_than: int = 8) -> None:
    """Put the counts of dead workers together once there are several, or a worker that keeps dying fills the folder.

    Raises:
        OSError: a file cannot be read, written or removed.
    """
    with _folding(folder) as mine:
        dead = [path for path in folder.glob(f"*{SUFFIX}") if not _alive(path)] if mine else []
        if len(dead) <= more_than:
            return
        former = _read_former(folder)
        sums: Sums = {(family, labels): slots for family, labels, slots in former.series}
        for path in dead:
            if path.stem not in former.workers:
                add(sums, read_counts(path.read_bytes()))
        series = [(family, labels, slots) for (family, labels), slots in sums.items()]
        new = folder / f"{FORMER}.new"
        new.write_bytes(msgspec.json.encode(_Former([path.stem for path in dead], series)))
        new.replace(folder / FORMER)
        for path in dead:  # dying before this is harmless: their names are in the file
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _folding(folder: Path) -> Generator[bool]:
    """Whether this process may change the folder now; where another does so, that one's work will do."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _workers(folder: Path, folded: set[str]) -> Iterator[WorkerCounts]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.stem not in folded:
            with contextlib.suppress(FileNotFoundError):
                yield WorkerCounts(path.stem, _alive(path), read_counts(path.read_bytes()))


def _alive(path: Path) -> bool:
    """Whether the file's worker holds its lock."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _locked(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _locked(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_former(folder: Path) -> _Former:
    try:
        return _former.decode((folder / FORMER).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return _Former()


def _stamp(folder: Path) -> Any:
    try:
        status = (folder / FORMER).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
