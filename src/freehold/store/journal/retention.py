"""What becomes of segments once they are sealed: removed at once, or kept for a while as `WORKER-NUMBER.seg`.

Kept segments are copies of what the trace table holds, and count by the time they were sealed, as the file says. With a
clock that was ahead then, a file's time lies in the future: its time of keeping begins anew. A clock that jumps ahead
lets copies go early, which loses nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from freehold.domain.errors import StoreError
from freehold.store.journal.folder import SUFFIX


def retire_segment(path: Path, kept: Path, keep_seconds: float) -> None:
    """Remove the sealed segment at `path`, or move it to the folder `kept`. One that is gone already is fine.

    Raises:
        StoreError: it cannot be moved or removed.
    """
    try:
        if not keep_seconds:
            path.unlink(missing_ok=True)
            return
        kept.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            path.rename(kept / f"{path.parent.name}-{path.name}")
    except OSError as error:
        raise StoreError(f"{path} is sealed and cannot be put away: {error.strerror}.", "Check the folder.") from error


def remove_expired(kept: Path, keep_seconds: float, *, now: float | None = None) -> int:
    """Remove what has been in `kept` for `keep_seconds`; 0 removes all of it. `now`: Unix seconds, the clock's if None.

    Returns:
        How many were removed.

    Raises:
        StoreError: one cannot be removed.
    """
    at = time.time() if now is None else now
    removed = 0
    for path in sorted(kept.glob(f"*{SUFFIX}")):
        try:
            sealed_at = path.stat().st_mtime
            if sealed_at > at and keep_seconds:
                os.utime(path, (at, at))
            elif at - sealed_at >= keep_seconds or not keep_seconds:
                path.unlink()
                removed += 1
        except OSError as error:
            raise StoreError(f"{path} cannot be removed: {error.strerror}.", "Check the folder.") from error
    return removed
