"""How far a training run is, for whoever watches it."""

from __future__ import annotations

from typing import NamedTuple


class Progress(NamedTuple):
    """How far a run is. `seconds_left` and `kilowatt_hours` are estimates."""

    step: int
    steps: int
    loss: float
    """Mean over the target tokens of the last step."""
    tune_loss: float | None
    """Of the last look at the tune rows; None before the first."""
    tokens_per_second: float
    seconds_left: float
    kilowatt_hours: float


def ignore(progress: Progress) -> None:
    """Watch nothing."""
