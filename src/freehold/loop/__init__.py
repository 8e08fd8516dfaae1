"""The scheduler: sees what each task needs next and runs it as a resumable job.

Public names: `Loop`, `Turn`, `Move`, `new_move`, `open_move`, `latest_outlook`, `STEPS`, `run_loop`; for ladders of
several models `LadderMove`, `new_ladder`, `open_ladder`, `latest_laid`, `certified_ladder`, `wanted_rows`, `LaidView`,
`LADDER_STEPS`.
"""

from freehold.loop.cycle import Loop, Turn
from freehold.loop.ladder_move import (
    LADDER_STEPS,
    LadderMove,
    LaidView,
    certified_ladder,
    latest_laid,
    new_ladder,
    open_ladder,
    wanted_rows,
)
from freehold.loop.move import STEPS, Move, StepName, latest_outlook, new_move, open_move
from freehold.loop.service import run_loop

__all__ = [
    "LADDER_STEPS",
    "STEPS",
    "LadderMove",
    "LaidView",
    "Loop",
    "Move",
    "StepName",
    "Turn",
    "certified_ladder",
    "latest_laid",
    "latest_outlook",
    "new_ladder",
    "new_move",
    "open_ladder",
    "open_move",
    "run_loop",
    "wanted_rows",
]
