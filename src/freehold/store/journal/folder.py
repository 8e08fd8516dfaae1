"""One worker's journal folder on disk: names, numbers, whether its worker lives, and requests to begin a new segment.

<data>/journal/<worker id>/lock            held (flock) while the worker lives
<data>/journal/<worker id>/00000001.seg    a segment; a higher number is newer
<data>/journal/<worker id>/rotate          asks the worker to begin a new segment
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from freehold.domain.errors import LeaseHeld, StoreError
from freehold.store.locks import FileLock

LOCK_NAME = "lock"
ROTATE_NAME = "rotate"
SUFFIX = ".seg"
_POLL_SECONDS = 0.05
_LOCK_TRIES = 3
_LOCK_TRY_SECONDS = 0.002


class Rotation(NamedTuple):
    """A request to begin a new segment."""

    folder: Path
    newest: int
    """The segment that was written to when it was made: once there is a newer one, this one is never written again."""


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` of a worker's folder lies."""
    return folder / f"{number:08d}{SUFFIX}"


def segments_of(folder: Path) -> dict[int, Path]:
    """The segments of a worker's folder, by their numbers."""
    return {int(path.stem): path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit()}


def lock_folder(folder: Path) -> FileLock:
    """The lock of a worker's folder, held from now on. Whoever only looks whether it is held (`is_locked`) holds it for
    an instant, so it is tried a few times.

    Raises:
        LeaseHeld: a living process holds it.
        StoreError: the lock cannot be opened.
    """
    tick = threading.Event()
    for _ in range(_LOCK_TRIES):
        try:
            return FileLock(folder / LOCK_NAME)
        except LeaseHeld:
            tick.wait(_LOCK_TRY_SECONDS)
    return FileLock(folder / LOCK_NAME)


def is_locked(folder: Path) -> bool:
    """Whether a living process writes to this worker's folder."""
    if not (folder / LOCK_NAME).exists():
        return False
    try:
        FileLock(folder / LOCK_NAME).release()
    except LeaseHeld:
        return True
    return False


def request_rotation(folder: Path) -> Rotation | None:
    """Ask the worker that writes to `folder` to begin a new segment; it does within about a second, idle or not.

    Returns:
        What `wait_rotated` waits for; None if there is nothing to wait for: no living worker, or nothing written.

    Raises:
        StoreError: the request cannot be made.
    """
    newest = max(segments_of(folder).items(), default=None)
    try:
        if newest is None or not newest[1].stat().st_size or not is_locked(folder):
            return None
        (folder / ROTATE_NAME).touch()
    except FileNotFoundError:  # sealed and removed just now: its worker has died, or begun a new one
        return None
    except OSError as error:
        raise StoreError(
            f"{folder / ROTATE_NAME} cannot be made: {error.strerror}.", "Check the disk and the folder's permissions."
        ) from error
    return Rotation(folder, newest[0])


def request_rotations(root: Path) -> list[Rotation]:
    """`request_rotation` of every worker below `root`."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [found for folder in folders if (found := request_rotation(folder)) is not None]


def wait_rotated(rotations: Sequence[Rotation], seconds: float = 10.0) -> None:
    """Wait until no segment that was written to when `rotations` were asked for can be written to again.

    Raises:
        StoreError: a living worker has not begun a new segment by then.
    """
    deadline, tick = time.monotonic() + seconds, threading.Event()
    waiting = list(rotations)
    while waiting := [rotation for rotation in waiting if not _rotated(rotation)]:
        if time.monotonic() >= deadline:
            names = ", ".join(rotation.folder.name for rotation in waiting)
            raise StoreError(
                f"The journal of {names} has begun no new segment within {seconds:g} s.",
                "Is its process stopped, or its disk full? Try again.",
            )
        tick.wait(_POLL_SECONDS)


def _rotated(rotation: Rotation) -> bool:
    return max(segments_of(rotation.folder), default=rotation.newest + 1) > rotation.newest or not is_locked(
        rotation.folder
    )
