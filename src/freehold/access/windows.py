"""The windows that limits hold for: UTC minutes, UTC days, UTC calendar months.

Windows are fixed: a limit holds exactly within each, and up to twice the limit may pass within a minute that lies
across the border of two. Which window it is, each worker reads off its own clock: hosts must keep theirs right (NTP).
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from freehold.domain.access import MeterName

MINUTE = 60
DAY = 86_400


class Window(NamedTuple):
    """From unix second `began` until `ends`, not included."""

    began: int
    ends: int


def window_of(meter: MeterName, at: float) -> Window:
    """The window of `meter` that holds the unix time `at`."""
    if meter == "month":
        return _month(at)
    seconds = DAY if meter == "day" else MINUTE
    began = int(at) // seconds * seconds
    return Window(began, began + seconds)


def _month(at: float) -> Window:
    first = datetime.datetime.fromtimestamp(at, datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (first + datetime.timedelta(days=32)).replace(day=1)
    return Window(int(first.timestamp()), int(after.timestamp()))
