"""Bounds retries to a share of the requests, so that an outage is not multiplied by those who retry.

A token bucket, as Finagle's RetryBudget: requests pay in, retries draw, and a small allowance per second lets a quiet
upstream's requests be retried, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

COST = 5
"""Of a retry, in requests: one retry for five requests is 20 %."""
ALLOWED_PER_SECOND = 1
"""Retries, besides."""
MOST = 100
"""Retries that can be saved up."""
FIRST = 10
"""Retries before the first request."""


class RetryBudget:
    """Of one upstream, in one process."""

    __slots__ = ("_at", "_clock", "tokens")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self.tokens: float = FIRST * COST

    def request(self) -> None:
        """A request came."""
        self.tokens += 1  # the bound is seen to when something is drawn

    def draw(self) -> bool:
        """Whether a retry may go out; it then counts."""
        now = self._clock()
        allowed = (now - self._at) * ALLOWED_PER_SECOND * COST
        self._at = now
        self.tokens = min(MOST * COST, self.tokens + allowed)
        if self.tokens < COST:
            return False
        self.tokens -= COST
        return True
