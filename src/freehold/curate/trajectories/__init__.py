"""What agents did, as something to learn from: one conversation per agent and segment, with loss on what models wrote.

Public names: `build_trajectories`, `cap_rows`, `MAX_ROWS_PER_RUN`, `Rights`, `Trajectory`, `Line`, `Refused`, `Built`.
The forms that they leave by are in `formats`.
"""

from freehold.curate.trajectories.build import Built, build_trajectories
from freehold.curate.trajectories.caps import MAX_ROWS_PER_RUN, cap_rows
from freehold.curate.trajectories.rights import Rights
from freehold.curate.trajectories.trajectory import Line, Refused, Trajectory

__all__ = [
    "MAX_ROWS_PER_RUN",
    "Built",
    "Line",
    "Refused",
    "Rights",
    "Trajectory",
    "build_trajectories",
    "cap_rows",
]
