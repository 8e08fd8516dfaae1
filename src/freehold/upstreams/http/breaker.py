"""Lets a deployment rest that fails again and again, so that neither it nor its callers are kept busy in vain.

The circuit breaker of M. Nygard, "Release It!" (2007): closed while all is well, open after failures, half-open when
one request may try whether it works again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

FAILURES_IN_ROW = 5
WINDOW_SECONDS = 10.0
WINDOW_REQUESTS = 20
WINDOW_SHARE = 0.5
"""It opens, too, when of at least so many requests within a window at least this share failed."""
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 60.0
"""The rest doubles from the first of these to the second while the tries between keep failing."""


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    """One request is on its way to see whether the deployment works again."""


class Breaker:
    """Of one deployment, in one process. Each try that `enter`s ends in `succeeded`, `failed` or `left`."""

    __slots__ = ("_clock", "_ends", "_failed", "_rests", "_seen", "failures", "state", "until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.state = State.CLOSED
        self.failures = 0
        """In a row."""
        self.until = 0.0
        """When the rest ends, by the clock."""
        self._rests = 0
        self._seen = 0
        self._failed = 0
        self._ends = 0.0

    def ready(self) -> bool:
        """Whether a request may go out."""
        return self.state is State.CLOSED or (self.state is State.OPEN and self._clock() >= self.until)

    def enter(self) -> bool:
        """A request goes out; whether it is the one that tries a rested deployment."""
        if self.state is State.CLOSED:
            return False
        self.state = State.HALF_OPEN
        return True

    def succeeded(self, *, probe: bool) -> None:
        """The deployment has answered."""
        self._seen += 1
        self.failures = 0
        if probe:
            self.close()

    def failed(self, *, probe: bool, perhaps_asked_for: bool = False) -> None:
        """The deployment has not answered, or said that it cannot.

        `perhaps_asked_for`: the request itself may be to blame. Such failures count towards the share of a window, but
        not in a row: a single caller with a request that breaks the upstream shall not shut out all others.
        """
        if probe:
            self.open()
            return
        now = self._clock()
        if now >= self._ends:
            self._seen = self._failed = 0
            self._ends = now + WINDOW_SECONDS
        self._seen += 1
        self._failed += 1
        if not perhaps_asked_for:
            self.failures += 1
        many = self._seen >= WINDOW_REQUESTS and self._failed >= WINDOW_SHARE * self._seen
        if self.state is State.CLOSED and (many or self.failures >= FAILURES_IN_ROW):
            self.open()

    def left(self, *, probe: bool) -> None:
        """The request was given up before anything could be learnt from it: another may try."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.OPEN

    def open(self) -> None:
        """Rest: for longer each time, until something works."""
        self.state = State.OPEN
        self.until = self._clock() + min(LONGEST_REST_SECONDS, REST_SECONDS * 2**self._rests)
        self._rests = min(self._rests + 1, 10)

    def close(self) -> None:
        """It works again."""
        self.state = State.CLOSED
        self._rests = self.failures = self._seen = self._failed = 0
