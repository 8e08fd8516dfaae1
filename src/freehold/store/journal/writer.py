"""The journal's writer: one folder of append-only segments per gateway worker. The only store in the request's path.

A record is handed to the kernel by one `write` before `append` returns, so it outlives a `kill -9` of the worker; a
background thread makes it outlive a power cut within `sync_seconds` (in strict mode: before `append` returns). Folders
are laid out as `folder` says, frames as `format` says.

When the segments of all workers together grow beyond `max_bytes`, because nothing seals them, appending is refused
until they have shrunk: the caller sheds the record, never the request. They are measured about once a second, so the
limit may be overshot by what a second brings.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from freehold.domain.errors import StoreError, StoreFull
from freehold.domain.traces import Record
from freehold.store.folders import sync_folder, tree_bytes
from freehold.store.journal.folder import (
    LOCK_NAME,
    ROTATE_NAME,
    SUFFIX,
    lock_folder,
    request_rotations,
    segment_path,
    segments_of,
)
from freehold.store.journal.format import HEADER, RecordCodec, frame_of, new_salt
from freehold.store.journal.options import DEFAULTS, JournalOptions
from freehold.store.locks import FileLock

if TYPE_CHECKING:
    from freehold.store.journal.cipher import SegmentCipher

LOOK_SECONDS = 1.0
"""How often an idle worker looks whether it shall begin a new segment, and a busy one how much lies in the journals."""

# EFBIG: a file size limit (ulimit -f) has the same remedy as a full disk or quota.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_log = structlog.get_logger()


class JournalWriter:
    """Appends records to one worker's segments. Thread-safe.

    Nothing is opened before the first append, so a worker starts, and serves, with a full or missing disk too; what
    fails on opening is raised by that append, and the next one tries again.
    """

    def __init__(self, folder: Path, options: JournalOptions = DEFAULTS) -> None:
        self.folder = folder
        self.sync_failures = 0
        """How often fdatasync failed: what was written then may not outlive a power cut."""
        self._options = options
        self._codec = RecordCodec()
        self._guard = threading.Lock()
        self._syncing = threading.Lock()
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._lock: FileLock | None = None
        self._thread: threading.Thread | None = None
        self._retired: list[int] = []
        self._cipher: SegmentCipher | None = None
        self._new_cipher: Callable[[int], SegmentCipher] | None = None
        self._overhead = HEADER.size
        """Bytes by which a frame is longer than its record's payload."""
        if options.keys is not None:
            from freehold.store.journal.cipher import OVERHEAD, SegmentCipher

            self._new_cipher = functools.partial(SegmentCipher, options.keys, folder.name)
            self._overhead += OVERHEAD
        self._salt = b""
        self._number = 0
        self._fd = -1
        self._size = 0
        self._closed = False
        self._rotate_asked = False
        self._all_asked = False
        """Whether all workers were asked to begin new segments because the journals are over the limit."""
        self._measured: tuple[float, int, int] = (0.0, 0, 0)
        """When the journals were measured, and which segment, of what size, was written to then."""
        self._backlog = 0
        """Bytes in all journals, when they were measured last."""

    def append(self, record: Record) -> None:
        """Write `record`; when this returns it outlives the death of this process.

        Raises:
            StoreFull: the disk, quota or file size limit is reached, or the journals are over `max_bytes`; nothing of
                the record stays behind, and the next append tries again.
            LeaseHeld: another process writes to this folder: worker ids must be new for every process start.
            StoreError: it cannot be written for another reason, is too large, or the writer is closed.
        """
        with self._guard:
            if self._closed:
                raise StoreError(f"The journal {self.folder} is closed.", "Open a new one for new records.")
            if self._fd < 0:
                self._open()
            if self._backlog > self._options.max_bytes:
                raise self._over_limit()
            payload = self._codec.pack(record)
            full = self._size + self._overhead + len(payload) > self._options.segment_bytes
            if (self._size and full) or (self._cipher is not None and self._cipher.spent):
                self._rotate()
            if self._cipher is not None:
                payload = self._cipher.encrypt(payload, self._size)
            self._write(frame_of(payload, self._salt))
            if self._options.strict:
                self._sync_strictly()
            elif not self._dirty.is_set():
                self._dirty.set()

    def sync(self) -> None:
        """Make all that was appended outlive a power cut.

        Raises:
            StoreError: it cannot be synced.
        """
        error = self._sync_all() if self._fd >= 0 else None
        if error is not None:
            raise _translate(error, self.folder) from error

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
            self._fd = -1
        if self._lock is not None:
            self._lock.release()

    def _open(self) -> None:
        try:
            self._take_folder()
            self._backlog = tree_bytes(self.folder.parent, SUFFIX)
            self._number = max(segments_of(self.folder), default=0) + 1
            self._begin_segment()
        except OSError as error:
            self._let_go()
            raise _translate(error, self.folder) from error
        except StoreError:
            self._let_go()
            raise
        if self._thread is None:
            self._thread = threading.Thread(target=self._sync_loop, name="journal-sync", daemon=True)
            self._thread.start()

    def _take_folder(self) -> None:
        # The lock comes before the first segment: a folder with segments and a free lock is a dead worker's.
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)
        if not self._lock.holds(self.folder / LOCK_NAME):
            raise StoreError(f"{self.folder} was removed while it was being opened.", "The next record tries again.")

    def _let_go(self) -> None:
        """A lock on a folder that somebody removed meanwhile would keep nobody out of the next one of that name."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

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
        former = self._fd
        self._number += 1  # kept if opening fails: a half-made segment's number is not used again
        try:
            self._begin_segment()
        except OSError as error:
            raise _translate(error, self.folder) from error
        self._retired.append(former)  # the sync thread syncs and closes it: no fdatasync in a request's path
        self._dirty.set()

    def _begin_segment(self) -> None:
        """Open segment `_number` and write to it from now on."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(segment_path(self.folder, self._number), flags, 0o600)
        try:
            sync_folder(self.folder)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size, self._salt = fd, 0, new_salt()
        if self._new_cipher is not None:
            self._cipher = self._new_cipher(self._number)

    def _sync_loop(self) -> None:
        while not self._stop.is_set():
            if self._dirty.wait(LOOK_SECONDS):  # an idle worker costs one look a second
                self._stop.wait(self._options.sync_seconds)
                self._dirty.clear()
                self._sync_all()
            try:
                self._look()
            except (OSError, StoreError) as error:
                _log.warning("journal_not_looked_after", folder=str(self.folder), error=str(error))

    def _look(self) -> None:
        """What is asked of this worker from outside, and how much there is."""
        request = self.folder / ROTATE_NAME
        if request.exists():
            # Removed first: a request that comes from here on is seen next time.
            self._rotate_asked = True
            with contextlib.suppress(OSError):
                request.unlink()
        if self._rotate_asked:
            self._rotate_now()
        measured_at, *was = self._measured
        written = was != [self._number, self._size]
        if (written or self._backlog > self._options.max_bytes) and time.monotonic() - measured_at >= LOOK_SECONDS:
            self._measure()

    def _rotate_now(self) -> None:
        with self._guard:
            if self._closed:
                return
            try:
                if self._size:
                    self._rotate()
            except StoreError as error:  # the disk is full, for one: the next look tries again
                _log.warning("journal_not_rotated", folder=str(self.folder), error=error.message)
                return
            self._rotate_asked = False

    def _measure(self) -> None:
        """How much lies in all journals. Over the limit, all begin new segments: only what has ended can be removed."""
        self._measured = (time.monotonic(), self._number, self._size)
        self._backlog = tree_bytes(self.folder.parent, SUFFIX)
        over = self._backlog > self._options.max_bytes
        if over and not self._all_asked:
            request_rotations(self.folder.parent)
        self._all_asked = over

    def _over_limit(self) -> StoreFull:
        return StoreFull(
            f"{self._backlog:,} bytes lie in the journals below {self.folder.parent}, over journal.max_bytes "
            f"({self._options.max_bytes:,}).",
            "Is the loop running, which seals them (`freehold loop`)? Or raise journal.max_bytes. Traffic flows on, "
            "unrecorded until then.",
        )

    def _sync_all(self) -> OSError | None:
        """Sync what was appended so far; the first error, if there is one."""
        with self._syncing:  # only here descriptors are closed: `current` stays open outside the guard
            with self._guard:
                retired, self._retired = self._retired, []
                current = self._fd
            errors = [self._sync(fd) for fd in (*retired, current)]
            for fd in retired:
                os.close(fd)
        return next((error for error in errors if error is not None), None)

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
