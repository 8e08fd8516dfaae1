"""Tells people how far a training run is: in the task's note, every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from freehold.train.progress import Progress, ignore

EVERY_SECONDS = 3.0


class Telling:
    """Watches a run. Args: note: keeps a sentence where people look; also: is told each time."""

    def __init__(self, note: Callable[[str], None], also: Callable[[Progress], None] = ignore) -> None:
        self._note = note
        self._also = also
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Note how far it is, unless that was done just now."""
        self._also(progress)
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            self._note(in_words(progress))


def in_words(progress: Progress) -> str:
    """How far a run is, as a sentence."""
    tuned = "" if progress.tune_loss is None else f" ({progress.tune_loss:.3f} on tune rows)"
    left = progress.seconds_left
    time_left = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return (
        f"Training: step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.3f}{tuned}, "
        f"{progress.tokens_per_second:,.0f} tokens a second, {time_left} left, {progress.kilowatt_hours * 1000:.1f} Wh."
    )
