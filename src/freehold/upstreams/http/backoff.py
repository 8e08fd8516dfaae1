"""How long to wait before another try. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable

from freehold.upstreams.base import Headers

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0
LONGEST_RETRY_AFTER_SECONDS = 5.0
"""An upstream that asks for a longer wait gets none: its answer goes to the caller, who can wait better."""


def back_off(attempt: int, jitter: Callable[[], float]) -> float:
    """Jittered exponential back-off in seconds after a try, counted from 0; `jitter` draws from [0, 1)."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt) * (0.5 + jitter() / 2)


def retry_after(headers: Headers, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that an answer's `Retry-After` asks to wait, given as seconds or as a date (RFC 9110, 10.2.3).

    None without one, or with one that cannot be read. `now` gives seconds since the epoch.
    """
    for name, value in headers:
        if name == b"retry-after":
            text = value.decode("latin-1").strip()
            if text.isascii() and text.replace(".", "", 1).isdigit():  # whole seconds; some send fractions
                return float(text)
            return _until(text, now)
    return None


def _until(date: str, now: Callable[[], float]) -> float | None:
    from email.utils import parsedate_to_datetime  # not on the start-up path

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now())
    except (ValueError, OverflowError):
        return None
