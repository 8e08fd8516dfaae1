"""Copies of journal segments: those in which damage was found, and sealed ones that are kept for a while.

What can be read of them is searched, and blanked where it must go: a gap takes the place of the frame, in a copy that
then takes the place of the old one, and the others keep their offsets. Bytes that hold no intact frame are searched for
the name as it stands; they can hold it in another form, and so they are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import StoreError
from freehold.domain.ids import new_id
from freehold.store.folders import sync_folder
from freehold.store.journal.format import GAP
from freehold.store.journal.read import read_segment

if TYPE_CHECKING:
    from freehold.domain.traces import Record
    from freehold.store import Store


def blank_copies(store: Store, covers: Callable[[Record], bool], name: str) -> tuple[int, dict[str, int]]:
    """Blank all frames whose record is to go, and damaged bytes that hold `name`.

    Returns:
        How many were blanked, and of each file how many bytes cannot be read and may hold anything.

    Raises:
        StoreError: a copy cannot be read or written, or is encrypted with a key that is not at hand.
    """
    blanked, unread = 0, dict[str, int]()
    for path in sorted([*store.damaged_root.glob("*.seg"), *store.sealed_root.glob("*.seg")]):
        found, unreadable = _blank(store, path, covers, name.encode("utf-8", "surrogatepass"))
        blanked += found
        if unreadable:
            unread[str(path.relative_to(store.data))] = unreadable
    return blanked, unread


def remove_damaged(store: Store) -> int:
    """Remove all copies in which damage was found; returns how many.

    Raises:
        StoreError: one cannot be removed.
    """
    paths = sorted(store.damaged_root.glob("*.seg"))
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{store.damaged_root} cannot be cleared: {error.strerror}.", "Check the folder.") from error
    return len(paths)


def _blank(store: Store, path: Path, covers: Callable[[Record], bool], name: bytes) -> tuple[int, int]:
    """How much was blanked in one file, and how many bytes of it cannot be read."""
    data = bytearray(path.read_bytes())
    read = read_segment(path, keys=store.journal_options.keys)
    gone: list[tuple[int, int]] = []
    last = 0
    for end, record in read:
        start = max([last, *(item.offset + item.length for item in read.damage if item.offset < end)])
        if covers(record):
            gone.append((start, end))
        last = end
    spans = [(item.offset, item.offset + item.length) for item in read.damage]
    spans += [(last, len(data))] if read.bad_tail is not None or read.torn else []
    hit = [span for span in spans if name in data[slice(*span)]]
    unread = sum(end - start for start, end in spans if (start, end) not in hit)
    for start, end in [*gone, *hit]:
        data[start:end] = GAP * (end - start)
    if gone or hit:
        _replace(path, bytes(data))
    return len(gone) + len(hit), unread


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{new_id('cp')}")
    try:
        with draft.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}.", "Check the folder and the disk.") from error
