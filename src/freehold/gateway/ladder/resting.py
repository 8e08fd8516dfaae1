"""Leaves models of ladders alone that fail again and again, so that not every caller waits for their timeout."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 3
"""In a row, before a model is left alone."""
REST_SECONDS = 30.0


class Resting:
    """Of one worker. After a rest one request tries the model; it rests again unless that works."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def rests(self, model: str) -> bool:
        """Whether `model` shall be left alone now. The first to ask after a rest may try it, others wait for that."""
        if self._failures.get(model, 0) < FAILURES:
            return False
        now = self._clock()
        if now < self._until[model]:
            return True
        self._until[model] = now + REST_SECONDS
        return False

    def worked(self, model: str) -> None:
        """The model has answered."""
        self._failures.pop(model, None)

    def failed(self, model: str) -> None:
        """The model has failed, or was too slow."""
        self._failures[model] = self._failures.get(model, 0) + 1
        self._until[model] = self._clock() + REST_SECONDS
