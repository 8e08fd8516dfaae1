"""Entries as files: `<folder>/<tenant>/<rest of the key>`, both in hex, readable by the owner only.

A file appears whole, by a rename, and is never changed afterwards. It is not synced: after a power cut an entry can be
missing or damaged, and a damaged one is known by its checksum. Several processes read and write one folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from freehold.domain.errors import StoreError
from freehold.domain.ids import new_id
from freehold.gateway.cache.entry import Entry, pack, unpack
from freehold.gateway.cache.request import TENANT_BYTES

PART, GONE = ".part-", ".gone-"
"""Beginnings of the names of files half written and of folders half deleted."""

Stamp = tuple[int, int]
"""Inode and time of change of a file: another one in its place has another."""


class Files:
    """The entries of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = str(folder)
        self._parts = f"{PART}{new_id('cw')}-"
        self._numbers = itertools.count()

    def path(self, key: bytes) -> str:
        """Where the entry of `key` lies."""
        return f"{self._root}/{key[:TENANT_BYTES].hex()}/{key[TENANT_BYTES:].hex()}"

    def read(self, path: str) -> tuple[Entry, Stamp] | None:
        """The entry at `path`; None if there is none that can be read. A damaged one is deleted."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # not there, as a rule; where the folder is out of order the next write says so
            return None
        try:
            found = os.fstat(fd)
            data = os.read(fd, found.st_size)
        except OSError:
            return None
        finally:
            os.close(fd)
        entry = unpack(data)
        if entry is None:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            return None
        return entry, (found.st_ino, found.st_mtime_ns)

    def write(self, path: str, entry: Entry) -> int:
        """Put `entry` in the place of what is at `path`; returns what it takes on disk.

        Raises:
            OSError: it cannot be written; nothing of it stays behind.
        """
        data = pack(entry)
        folder = Path(path).parent
        part = folder / f"{self._parts}{next(self._numbers)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(part, flags, 0o600)
        except FileNotFoundError:  # the tenant's first, or a sweep has just removed the empty folder
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(part, flags, 0o600)
        try:
            try:
                written = os.write(fd, data)
                while written < len(data):
                    written += os.write(fd, data[written:])
            finally:
                os.close(fd)
            part.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        return on_disk(len(data))


def on_disk(size: int) -> int:
    """What a file of `size` bytes takes: whole blocks of 4,096 bytes."""
    return -(-size // 4096) * 4096


def stamp(path: str) -> Stamp | None:
    """Which file is at `path` now; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - for every hit: a Path costs as much as the look itself
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def delete_tenant(folder: Path, tenant: bytes) -> None:
    """Delete all that is kept of `tenant` in the cache at `folder`; from then on no worker gives any of it again.

    What a worker is just about to write comes later: take the tenant's key away first.

    Raises:
        StoreError: the files cannot be deleted.
    """
    gone = folder / f"{GONE}{new_id('cg')}"
    try:
        (folder / tenant.hex()).rename(gone)  # at once and for all workers
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The cache at {folder} cannot be changed: {error.strerror}.", "Check the folder.") from error
    shutil.rmtree(gone, ignore_errors=True)  # a sweep may be at it as well
    if gone.exists():
        raise StoreError(f"Not all of {gone} can be deleted; nobody is given any of it.", "Delete it by hand.")
