"""The rows that an import could not use: a file of JSON lines, with where each was and why it was not used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import msgspec

from freehold.domain.errors import RowError, StoreError
from freehold.record.importing.files import Line


class Rejects:
    """Writes rejected rows. It says where a row was and why it was rejected, and what it held only if asked to.

    Args:
        path: the file; made with the first row.
        length: so much of it was there when progress was last committed: what follows will be written again.
        keep_content: rows are kept with what they hold.
    """

    def __init__(self, path: Path, length: int, keep_content: bool) -> None:
        self.path = path
        self._keep_content = keep_content
        self._length = length
        self._file: IO[bytes] | None = None

    def add(self, path: Path, line: Line, error: RowError) -> None:
        """Note a row.

        Raises:
            StoreError: the file cannot be written.
        """
        entry: dict[str, Any] = {"file": str(path), "line": line.number, "reason": str(error)}
        if self._keep_content:
            entry["content"] = line.raw.decode("utf-8", "replace") if line.row is None else _plain(line.row)
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(msgspec.json.encode(entry) + b"\n")
        except OSError as failure:
            raise self._broken(failure) from failure

    def flush(self) -> int:
        """Hand what was noted to the disk; returns the file's length.

        Raises:
            StoreError: the file cannot be written.
        """
        if self._file is not None:
            try:
                self._file.flush()
                os.fdatasync(self._file.fileno())
                self._length = self._file.tell()
            except OSError as failure:
                raise self._broken(failure) from failure
        return self._length

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        file.truncate(self._length)
        file.seek(self._length)
        return file

    def _broken(self, error: OSError) -> StoreError:
        return StoreError(f"Rejected rows cannot be kept in {self.path}: {error.strerror}.", "Check the disk.")


def _plain(row: dict[str, Any]) -> str:
    return msgspec.json.encode(row, enc_hook=str).decode("utf-8", "replace")
