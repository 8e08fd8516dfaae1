"""Which kind of job is done how."""

from __future__ import annotations

from freehold.config import Settings
from freehold.domain.events import Job
from freehold.loop.ladder_move import LadderMove
from freehold.loop.move import Move
from freehold.loop.steps import Stepwise
from freehold.store import Store

_KINDS: dict[str, type[Stepwise]] = {"move": Move, "ladder": LadderMove}


def stepwise(store: Store, settings: Settings, job: Job) -> Stepwise:
    """What carries a stored job on."""
    return _KINDS[job.kind](store, settings, job)
