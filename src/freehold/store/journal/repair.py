"""Takes damage out of the segments of dead workers; the damaged originals are kept.

A repaired segment has the number of the original, and every intact frame lies where it lay: where there was damage,
there is a gap that readers skip. So what is sealed of it stays sealed, encrypted frames stay at the offsets they are
authenticated for, and no key is needed. The original is put aside first, and the repaired segment takes its place in
one rename: a repair that is killed has either done nothing or all, and can be started again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from freehold.domain.errors import JournalCorrupt, JournalLocked, StoreError
from freehold.store.folders import sync_folder
from freehold.store.journal.folder import lock_folder, segments_of
from freehold.store.journal.format import GAP
from freehold.store.journal.keys import JournalKeys
from freehold.store.journal.read import FrameReader
from freehold.store.journal.scan import Damage, SegmentScan

_COPY_BYTES = 1024 * 1024
_DRAFT = ".draft"


@dataclass(frozen=True)
class Repair:
    """What was done to one segment."""

    path: Path
    kept: Path
    """The damaged original."""
    damage: Sequence[Damage]
    frames: int
    """Intact frames that it holds, as before."""
    cut: int
    """Bytes of half a frame that were cut off its end; nobody was told that they were kept."""


@dataclass
class _Found:
    damage: list[Damage] = field(default_factory=list[Damage])
    frames: int = 0
    end: int = 0
    """After the last intact frame."""


def repair_folder(folder: Path, kept_root: Path, keys: JournalKeys | None = None) -> list[Repair]:
    """Repair every damaged segment of a dead worker's folder. Only one process may do so for a data folder.

    Raises:
        LeaseHeld: its worker lives.
        StoreError: a segment cannot be read, or the repaired one not be written; the original is still there.
    """
    lock = lock_folder(folder)
    try:
        for draft in kept_root.glob(f".*{_DRAFT}"):  # of a repair that was killed
            draft.unlink()
        return [
            done
            for _, path in sorted(segments_of(folder).items())
            if (done := _repair_segment(path, kept_root, keys)) is not None
        ]
    finally:
        lock.release()


def keep_damaged(path: Path, kept_root: Path) -> Path:
    """A second name for the segment at `path`, under which it stays once it is sealed or repaired.

    Raises:
        StoreError: it cannot be made.
    """
    name, times = f"{path.parent.name}-{path.name}", 0
    try:
        kept_root.mkdir(parents=True, mode=0o700, exist_ok=True)
        while True:
            kept = kept_root / (f"{name}.{times}" if times else name)
            with contextlib.suppress(FileExistsError):
                os.link(path, kept)
            if kept.samefile(path):
                return kept
            times += 1  # damaged, repaired, and damaged again
    except OSError as error:
        raise StoreError(f"{path} cannot be kept in {kept_root}: {error.strerror}.", "Check the disk.") from error


def _repair_segment(path: Path, kept_root: Path, keys: JournalKeys | None) -> Repair | None:
    found = _look(path, keys)
    size = path.stat().st_size
    if not found.damage and found.end == size:
        return None
    kept = keep_damaged(path, kept_root)
    draft = kept_root / f".{kept.name}{_DRAFT}"
    try:
        _write(path, draft, found)
        draft.replace(path)
        sync_folder(path.parent)
        sync_folder(kept_root)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be repaired: {error.strerror}. It is as it was.", "Free disk space, then try again."
        ) from error
    tail = max((item.offset + item.length for item in found.damage), default=0)
    return Repair(path, kept, found.damage, found.frames, size - max(tail, found.end))


def _look(path: Path, keys: JournalKeys | None) -> _Found:
    scan, reader, found = SegmentScan(path), FrameReader(path, keys), _Found()
    for frame in scan:
        try:
            reader.record(frame)
        except JournalLocked:
            pass  # as far as can be seen without its key it is intact
        except JournalCorrupt:
            found.damage.append(Damage(path, frame.start, frame.end - frame.start))
            continue
        found.frames += 1
    found.end = scan.end
    found.damage = sorted([*found.damage, *scan.damage], key=_offset)
    if scan.bad_tail is not None:
        found.damage.append(scan.bad_tail)
    return found


def _write(path: Path, draft: Path, found: _Found) -> None:
    """The segment with gaps in place of its damage, and without what follows its last frame."""
    with path.open("rb") as source, draft.open("wb") as target:
        draft.chmod(0o600)
        for damage in found.damage:
            if damage.offset < found.end:
                target.writelines(_read(source, damage.offset - target.tell()))
                target.write(GAP * damage.length)
                source.seek(target.tell())
        target.writelines(_read(source, found.end - target.tell()))
        target.flush()
        os.fsync(target.fileno())


def _read(source: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0:
        chunk = source.read(min(length, _COPY_BYTES))
        if not chunk:
            return
        length -= len(chunk)
        yield chunk


def _offset(damage: Damage) -> int:
    return damage.offset
