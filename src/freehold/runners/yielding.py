"""Training and serving share a machine: training yields to the latency of answers.

The policy, in the order of what it gives (`bench/students/yielding.py` measures it):

1. A process that trains runs in the scheduler's class for idle work (SCHED_IDLE, see sched(7)): whoever answers callers
   is given its core at once. Where there is no such class, it is as nice as can be.
2. While requests are being answered, it waits between its steps, so that it takes at most a share of its time: caches
   and memory, which no scheduler shares out, are then the callers' for the rest.

Who answers callers says so in a mapped file, as the gateway counts (ADR 9):

    <data>/busy/NAME.pulse    eight bytes, a count in the machine's own order; locked (flock) while its process lives

To count is one aligned store. Who trains sees that any count has moved, and no more: a caller who waits for a provider
costs this machine nothing, and nobody waits for him.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

FOLDER = "busy"
"""In the data folder."""
ENVIRONMENT = "FREEHOLD_BUSY"
"""Environment variable for processes that train beside others: `SHARE FOLDER`, as `yielding_environment` makes it."""
SUFFIX = ".pulse"
QUIET_SECONDS = 1.0
"""After so long without a request the machine is the training's again."""
LONGEST_WAIT_SECONDS = 10.0
"""Of one wait: a step that took long for another reason must not stop the training for as long again."""
_LOOK_SECONDS = 0.05
_BYTES = 8
_NICEST = 19

_log = structlog.get_logger()


class Pulse:
    """Beats whenever this process works for a caller. Before it is opened, or where it cannot be, nobody sees it."""

    def __init__(self) -> None:
        self._fd = -1
        self._count: memoryview[int] = memoryview(bytearray(_BYTES)).cast("q")

    def open(self, folder: Path, name: str) -> None:
        """Beat in a file of `folder` from now on, and remove the files of the dead. Never raises OSError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _bury(folder)
            # Locked before it has its name, or another one that opens takes it for a dead one's.
            new = folder / f"{name}.new"
            self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._fd, 0, _BYTES)
            self._count = memoryview(mmap.mmap(self._fd, _BYTES)).cast("q")
            new.rename(folder / f"{name}{SUFFIX}")
        except OSError as error:
            _log.warning("pulse-private", folder=str(folder), error=error.strerror)

    def beat(self) -> None:
        """Say that a caller is being worked for."""
        self._count[0] += 1

    def close(self) -> None:
        """This process answers no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Yielding:
    """Lets a process that trains wait while this machine answers callers."""

    def __init__(
        self,
        folder: Path | None,
        share: float,
        *,
        threads: int = 1,
        work: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Begin; nothing waits before the first step.

        Args:
            folder: where the pulses lie; None: it never waits.
            share: `[students] yield_share`; 0 or 1: it never waits.
            threads: that work side by side in this process.
            work: seconds that all of them have worked. CPU time: a process that was kept from its core has yielded
                already. Where a GPU does the work, `time.monotonic`.
            clock: seconds.
            wait: for so many seconds; an event that never comes, by default.
        """
        self._folder = folder if 0.0 < share < 1.0 else None
        self._pace = share * threads
        self._work = work
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._seen = self._counts()
        self._moved = float("-inf")
        self._resumed, self._worked = clock(), work()
        self.waited = 0.0
        """Seconds, of all waits."""

    def between_steps(self) -> float:
        """Wait as long as the policy asks after the work since the last call; the seconds waited.

        Of the processes of one training only the first needs to call it: the others wait for its gradients.
        """
        if self._folder is None:
            return 0.0
        began = now = self._clock()
        until = min(self._resumed + (self._work() - self._worked) / self._pace, began + LONGEST_WAIT_SECONDS)
        while self._busy(now) and now < until:
            self._wait(min(_LOOK_SECONDS, until - now))
            now = self._clock()
        self._resumed, self._worked = now, self._work()
        self.waited += now - began
        return now - began

    def _busy(self, now: float) -> bool:
        counts = self._counts()
        if counts != self._seen:
            self._seen, self._moved = counts, now
        return now - self._moved < QUIET_SECONDS

    def _counts(self) -> tuple[bytes, ...]:
        if self._folder is None:
            return ()
        found: list[bytes] = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes())
        return tuple(found)


def yielding_environment(data: Path, share: float) -> dict[str, str]:
    """What a process that trains on this machine must find in its environment.

    Args:
        data: the data folder, in which those who answer callers say so.
        share: `[students] yield_share`.
    """
    return {ENVIRONMENT: f"{share!r} {data / FOLDER}"}


def yielding_here(threads: int = 1, *, by_clock: bool = False) -> Yielding:
    """As the environment of this process says; without that it never waits.

    Args:
        threads: that work side by side in this process.
        by_clock: a GPU does the work, whose time this process's CPU time does not tell.
    """
    share, _, folder = os.environ.get(ENVIRONMENT, "").partition(" ")
    if not folder:
        return Yielding(None, 0.0)
    work = time.monotonic if by_clock else time.process_time
    return Yielding(Path(folder), float(share), threads=threads, work=work)


def step_back() -> str:
    """Put this process, with all that it starts, behind whoever answers callers; says how. There is no way back."""
    idle = getattr(os, "SCHED_IDLE", None)
    if idle is not None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, idle, os.sched_param(0))
            return "idle"
    os.nice(_NICEST)
    return "nice"


def _bury(folder: Path) -> None:
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                pass  # its process lives
            finally:
                os.close(fd)
