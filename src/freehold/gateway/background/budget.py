"""A bound on what is spent in a day, shared by all workers of a data folder and kept over restarts.

Each day has a file of signed amounts, one per line, appended before money is spent and corrected afterwards. Its sum is
what is spent or promised: every worker reads all amounts, its own promise included, before it spends, so that two of
them can at worst both withdraw. A worker that is killed leaves its promises standing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

_log = structlog.get_logger()


class Promise(NamedTuple):
    """Nano-dollars put aside, and the UTC day they count for."""

    day: str
    nano: int


class DailyBudget:
    """Used by one event loop; the files are shared."""

    def __init__(self, folder: Path, nano_per_day: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._most = nano_per_day
        self._clock = clock
        self._day = ""
        self._read = 0
        self._sum = 0

    def promise(self, nano: int) -> Promise | None:
        """Put `nano` aside; None if the day's budget does not allow it, or cannot be kept on disk."""
        promise = Promise(time.strftime("%Y-%m-%d", time.gmtime(self._clock())), nano)
        try:
            if self._spent(promise.day) + nano > self._most:
                return None
            self._append(promise.day, nano)
            if self._spent(promise.day) <= self._most:
                return promise
            self._append(promise.day, -nano)
        except (OSError, ValueError) as error:
            _log.warning("budget-not-kept", folder=str(self._folder), error=str(error))
        return None

    def settle(self, promise: Promise, nano: int) -> None:
        """Correct a promise to the `nano` that were really spent."""
        try:
            self._append(promise.day, nano - promise.nano)
        except OSError as error:
            _log.warning("budget-not-kept", folder=str(self._folder), error=str(error))

    def _append(self, day: str, nano: int) -> None:
        with self._path(day).open("ab", buffering=0) as file:
            file.write(b"%d\n" % nano)  # one write in append mode: lines of several workers do not mix

    def _spent(self, day: str) -> int:
        if day != self._day:
            self._begin(day)
        with self._path(day).open("rb") as file:
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
        if lines:
            self._read += len(lines) + 1
            self._sum += sum(map(int, lines.split(b"\n")))
        return self._sum

    def _begin(self, day: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("????-??-??.spent"):
            if old.name < self._path(day).name:
                old.unlink(missing_ok=True)
        self._path(day).touch()
        self._day, self._read, self._sum = day, 0, 0

    def _path(self, day: str) -> Path:
        return self._folder / f"{day}.spent"
