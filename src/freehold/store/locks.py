"""Exclusive locks between processes: flock on a file. The kernel frees them however the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from freehold.domain.errors import LeaseHeld, StoreError


class FileLock:
    """An exclusive lock on `path`, taken at once or not at all; the file holds the holder's process id.

    Raises:
        LeaseHeld: somebody else holds it; the message says which process.
        StoreError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The lock {path} cannot be opened: {error.strerror}.", "Check the folder.") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise LeaseHeld(
                f"{path} is locked by process {holder}.",
                "Let that process end (or end it) before you start another one on the same data folder.",
            ) from error
        self._fd = fd
        with contextlib.suppress(OSError):  # the id is only for messages: a full disk must not cost the lock
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)

    def holds(self, path: Path) -> bool:
        """Whether `path` still is the file that this lock is on: another process may have removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(self._fd), path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back. Releasing twice is fine."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # a forked child may hold a copy of the descriptor
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None, None, None]:
    """Hold the lock on `path` for the duration of a block.

    Raises:
        LeaseHeld: somebody else holds it.
        StoreError: the file cannot be opened.
    """
    lock = FileLock(path)
    try:
        yield
    finally:
        lock.release()
