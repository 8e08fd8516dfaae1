"""The journal's writer: one folder of append-only segments per gateway worker. The only store in the request's path.

    <data>/journal/<worker id>/lock            held (flock) while the worker lives
    <data>/journal/<worker id>/00000001.seg    frames, see `journal_format`; a higher number is newer

A record is handed to the kernel by one `write` before `append` returns, so it outlives a `kill -9` of the worker; a
background thread makes it outlive a power cut within `sync_interval` (in strict mode: before `append` returns).
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import structlog

from freehold.domain.errors import StoreError, StoreFull
from freehold.domain.traces import Record
from freehold.store.folders import sync_folder
from freehold.store.journal_format import FrameCodec
from freehold.store.locks import FileLock

SYNC_INTERVAL = 0.05
SEGMENT_BYTES = 64 * 1024 * 1024
LOCK_NAME = "lock"
SUFFIX = ".seg"

# EFBIG: a file size limit (ulimit -f) has the same remedy as a full disk or quota.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_log = structlog.get_logger()


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` of a worker's folder lies."""
    return folder / f"{number:08d}{SUFFIX}"


class JournalWriter:
    """Appends records to one worker's segments. Thread-safe.

    Nothing is opened before the first append, so a worker starts, and serves, with a full or missing disk too; what
    fails on opening is raised by that append, and the next one tries again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sync_interval: float = SYNC_INTERVAL,
        segment_bytes: int = SEGMENT_BYTES,
        strict: bool = False,
    ) -> None:
        self.folder = folder
        self.sync_failures = 0
        """How often fdatasync failed: what was written then may not outlive a power cut."""
        self._interval = sync_interval
        self._segment_bytes = segment_bytes
        self._strict = strict
        self._codec = FrameCodec()
        self._guard = threading.Lock()
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._lock: FileLock | None = None
        self._thread: threading.Thread | None = None
        self._retired: list[int] = []
        self._number = 0
        self._fd = -1
        self._size = 0
        self._closed = False

    def append(self, record: Record) -> None:
        """Write `record`; when this returns it outlives the death of this process.

        Raises:
            StoreFull: the disk, quota or file size limit is reached; nothing of the record stays behind, and the
                next append tries again.
            LeaseHeld: another process writes to this folder: worker ids must be new for every process start.
            StoreError: it cannot be written for another reason, is too large, or the writer is closed.
        """
        with self._guard:
            if self._closed:
                raise StoreError(f"The journal {self.folder} is closed.", "Open a new one for new records.")
            frame = self._codec.encode(record)
            if self._fd < 0:
                self._open()
            elif self._size and self._size + len(frame) > self._segment_bytes:
                self._rotate()
            self._write(frame)
            if self._strict:
                self._sync_strictly()
            elif not self._dirty.is_set():
                self._dirty.set()

    def close(self) -> None:
        """Sync, close and release the folder. Closing twice is fine."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        self._stop.set()
        self._dirty.set()
        if self._thread is not None:
            self._thread.join()
        if self._fd >= 0:
            self._sync_all()
            os.close(self._fd)
        if self._lock is not None:
            self._lock.release()

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The lock comes before the first segment: a folder with segments and a free lock is a dead worker's.
            self._lock = self._lock or FileLock(self.folder / LOCK_NAME)
            self._number = max((int(path.stem) for path in self.folder.glob(f"*{SUFFIX}")), default=0) + 1
            self._fd = self._open_segment()
        except OSError as error:
            raise _translate(error, self.folder) from error
        if self._thread is None:
            self._thread = threading.Thread(target=self._sync_loop, name="journal-sync", daemon=True)
            self._thread.start()

    def _write(self, frame: bytes) -> None:
        try:
            written = os.write(self._fd, frame)
            while written < len(frame):  # a short write is how a filling disk begins to say so
                written += os.write(self._fd, frame[written:])
        except OSError as error:
            self._drop_half_frame()
            raise _translate(error, segment_path(self.folder, self._number)) from error
        self._size += len(frame)

    def _drop_half_frame(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:  # readers find the next frame by its magic, so what follows is still readable
            _log.error("journal_half_frame_kept", folder=str(self.folder), error=error.strerror)
            self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self._number += 1  # kept if opening fails: a half-made segment's number is not used again
        try:
            fresh = self._open_segment()
        except OSError as error:
            raise _translate(error, self.folder) from error
        self._retired.append(self._fd)  # the sync thread syncs and closes it: no fdatasync in a request's path
        self._fd, self._size = fresh, 0

    def _open_segment(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(segment_path(self.folder, self._number), flags, 0o600)
        try:
            sync_folder(self.folder)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _sync_loop(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()  # an idle worker costs nothing
            self._stop.wait(self._interval)
            self._dirty.clear()
            self._sync_all()

    def _sync_all(self) -> None:
        with self._guard:
            retired, self._retired = self._retired, []
            current = self._fd
        # Only this method, on one thread at a time, closes descriptors: `current` stays open outside the guard.
        for fd in (*retired, current):
            self._sync(fd)
        for fd in retired:
            os.close(fd)

    def _sync(self, fd: int) -> OSError | None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            self.sync_failures += 1
            _log.error(
                "journal_sync_failed",
                folder=str(self.folder),
                error=error.strerror,
                hint="Check the disk: the last records may not outlive a power cut.",
            )
            return error
        return None

    def _sync_strictly(self) -> None:
        error = self._sync(self._fd)
        if error is not None:
            raise _translate(error, segment_path(self.folder, self._number)) from error


def _translate(error: OSError, where: Path) -> StoreError:
    if error.errno in _FULL:
        return StoreFull(
            f"There is no room left for the journal at {where} ({error.strerror}).",
            "Free disk space or raise the quota; traffic flows on, unrecorded until then.",
        )
    return StoreError(f"The journal at {where} cannot be written: {error.strerror}.", "Check the folder and the disk.")
