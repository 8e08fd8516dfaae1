"""What imports keep of rows: those they could not use, if asked to, and those that wait for others of their file.

Nobody knows whose they are, so they are searched for the name as it stands. Files keep their lengths: a running import
knows them by these.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import msgspec

from freehold.domain.errors import StoreError

_BLANK = b'{"forgotten":true}'


def blank_imports(folder: Path, name: str) -> int:
    """Blank every row that holds `name`; returns how many. The folder need not exist.

    Raises:
        StoreError: a file cannot be read or written.
    """
    if not folder.is_dir():
        return 0
    wanted = msgspec.json.encode(name)[1:-1]
    try:
        blanked = sum(_blank_lines(path, wanted) for path in sorted(folder.glob("rejects-*.jsonl")))
        return blanked + sum(_blank_shelf(path, name.encode()) for path in sorted(folder.glob("*.sqlite")))
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"What imports have kept in {folder} cannot be searched: {error}.",
            "Check the folder; if no import is to go on, remove it, and run the same command again.",
        ) from error


def _blank_lines(path: Path, wanted: bytes) -> int:
    """Lines that hold the name become an object that says so, padded to their length."""
    blanked = at = 0
    with path.open("r+b") as file:
        for line in file.readlines():
            if wanted in line and len(line) > len(_BLANK):
                os.pwrite(file.fileno(), _BLANK.ljust(len(line) - 1), at)
                blanked += 1
            at += len(line)
        if blanked:
            os.fsync(file.fileno())
    return blanked


def _blank_shelf(path: Path, wanted: bytes) -> int:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30.0)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'shelf'").fetchone():
            return 0
        database.execute("PRAGMA secure_delete = ON")
        gone = database.execute("DELETE FROM shelf WHERE instr(row, ?) > 0", (wanted,)).rowcount
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone
