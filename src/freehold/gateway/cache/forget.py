"""Takes answers out of the cache whose traces are gone: for `freehold forget`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from freehold.gateway.cache.files import GONE, PART, Files

BATCH = 10_000


def delete_unrecorded(folder: Path, still_recorded: Callable[[set[str]], set[str]]) -> int:
    """Delete the entries whose trace is not recorded any more, or not known; returns how many.

    Every worker stops giving them at once: one in memory is given only while its file is there.

    Args:
        folder: of the cache; it need not exist.
        still_recorded: which of these trace ids there are.

    Raises:
        StoreError: as `still_recorded` does.
    """
    files, deleted = Files(folder), 0
    batch: list[tuple[Path, str]] = []
    for path in sorted(folder.glob("*/*")):
        if path.name.startswith(PART) or path.parent.name.startswith(GONE):
            continue
        read = files.read(str(path))
        if read is not None:
            batch.append((path, read[0].trace))
        if len(batch) >= BATCH:
            deleted += _delete(batch, still_recorded)
            batch = []
    return deleted + _delete(batch, still_recorded)


def _delete(entries: list[tuple[Path, str]], still_recorded: Callable[[set[str]], set[str]]) -> int:
    there = still_recorded({trace for _, trace in entries if trace})
    gone = [path for path, trace in entries if trace not in there]
    for path in gone:
        with contextlib.suppress(FileNotFoundError):  # swept away meanwhile
            path.unlink()
    return len(gone)
