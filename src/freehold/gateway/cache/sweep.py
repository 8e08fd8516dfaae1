"""Keeps the folder within its bytes: deletes what has expired, then the oldest.

Two walks over the files and a histogram of their ages, no list of them: a quarter of a million entries must not cost
memory, nor hold up the event loop of the process in which this runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from freehold.domain.errors import LeaseHeld
from freehold.gateway.cache.files import GONE, PART, on_disk
from freehold.store.locks import exclusive

LOCK_NAME = "sweep.lock"
KEPT_SHARE = 0.75
"""What a sweep leaves of the limit: the rest is room for what is written until the next one."""
LEFT_BEHIND_SECONDS = 600.0
"""A file half written that is older was left by a process that died."""
_BUCKETS = 256
_STRIDE, _BREATH = 100, 0.001
"""After so many files it waits so many seconds: it never takes a core for itself."""


def sweep(folder: Path, *, max_bytes: int, ttl: float, stop: Event) -> int | None:
    """Delete what has expired and, if more than three quarters of `max_bytes` are left, the oldest until they are not.

    A file counts with whole blocks of 4,096 bytes (`on_disk`). Ends early when `stop` is set. Returns the bytes left;
    None if another process is at it.

    Raises:
        OSError: the folder cannot be read.
        StoreError: its lock cannot be opened.
    """
    if not folder.is_dir():
        return 0
    try:
        with exclusive(folder / LOCK_NAME):
            now = time.time()
            ages = _survey(folder, now, ttl, stop)
            wanted = int(max_bytes * KEPT_SHARE)
            left = sum(ages.values())
            return left if left <= wanted else _shrink(folder, now, ttl, ages, wanted, stop)
    except LeaseHeld:
        return None


def _survey(folder: Path, now: float, ttl: float, stop: Event) -> Counter[int]:
    """Delete what has expired or was left behind; of the rest, bytes by age in 256ths of `ttl`."""
    ages: Counter[int] = Counter()
    for entry, found in _files(folder, stop):
        age = now - found.st_mtime
        if age > (LEFT_BEHIND_SECONDS if entry.name.startswith(PART) else ttl):
            _delete(entry.path)
        else:
            ages[_bucket(age, ttl)] += on_disk(found.st_size)
    for child in folder.iterdir():
        if child.name.startswith(GONE):
            shutil.rmtree(child, ignore_errors=True)
        elif child.is_dir():
            with contextlib.suppress(OSError):
                child.rmdir()  # succeeds where it is empty; a writer makes it again
    return ages


def _shrink(folder: Path, now: float, ttl: float, ages: Counter[int], wanted: int, stop: Event) -> int:
    """Delete from the oldest bucket on until `wanted` bytes are left; returns how many are."""
    left = sum(ages.values())
    over, cut = left - wanted, max(ages)
    for bucket in sorted(ages, reverse=True):
        cut, over = bucket, over - ages[bucket]
        if over <= 0:
            break
    for entry, found in _files(folder, stop):
        if left <= wanted:
            break
        if not entry.name.startswith(PART) and _bucket(now - found.st_mtime, ttl) >= cut:
            _delete(entry.path)
            left -= on_disk(found.st_size)
    return left


def _files(folder: Path, stop: Event) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """All files of all tenants, with what the file system knows of each; those that go meanwhile are left out."""
    count = 0
    for tenant in list(folder.iterdir()):
        if tenant.name.startswith(".") or not tenant.is_dir():
            continue
        try:
            entries = os.scandir(tenant)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                count += 1
                if count % _STRIDE == 0 and stop.wait(_BREATH):
                    return
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry, found


def _bucket(age: float, ttl: float) -> int:
    return min(_BUCKETS - 1, max(0, int(age / ttl * _BUCKETS)))


def _delete(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
