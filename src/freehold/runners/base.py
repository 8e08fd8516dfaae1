"""The seam: where a job's process runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Running(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        ...

    def stop(self) -> None:
        """End it and wait until it is gone."""
        ...


class Runner(Protocol):
    """Starts a command somewhere with enough room for it."""

    def start(self, command: Sequence[str]) -> Running:
        """Start `command`.

        Raises:
            FreeholdError: it cannot be started.
        """
        ...
