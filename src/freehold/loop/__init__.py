"""The scheduler: sees what each task needs next and runs it as a resumable job.

Public names: `Loop`, `Turn`, `Move`, `new_move`, `open_move`,
`latest_outlook`, `STEPS`, `run_loop`.
"""

from freehold.loop.cycle import Loop, Turn
from freehold.loop.move import STEPS, Move, StepName, latest_outlook, new_move, open_move
from freehold.loop.service import run_loop

__all__ = ["STEPS", "Loop", "Move", "StepName", "Turn", "latest_outlook", "new_move", "open_move", "run_loop"]
