"""The processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

torch: Any = import_module("torch")

MEETING = "FREEHOLD_MEETING"
"""Environment variable with the file that workers on one machine find each other by; no port is needed for it."""


class Team(NamedTuple):
    """This process among all."""

    rank: int = 0
    size: int = 1

    def sum(self, values: Any) -> None:
        """Replace a tensor by its sum over all workers, in place; the same on all, bit by bit."""
        if self.size > 1 and len(values):
            torch.distributed.all_reduce(values)

    def part(self, count: int) -> slice:
        """This process's share of `count` things, one about as large as the others'."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)


def join_team(device: Any) -> Team:
    """Meet the others: those of a process group that is there already (Ray makes one), those that torchrun or
    `freehold.train.generative.launch` started, or nobody."""
    group: Any = torch.distributed
    if not group.is_available():
        return Team()
    if not group.is_initialized():
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return Team()
        rank = int(os.environ["RANK"])
        backend = "nccl" if device.type == "cuda" else "gloo"
        meeting = os.environ.get(MEETING)
        where = {"store": group.FileStore(str(Path(meeting)), size)} if meeting else {"init_method": "env://"}
        group.init_process_group(backend, rank=rank, world_size=size, **where)
    return Team(group.get_rank(), group.get_world_size())


def leave_team() -> None:
    """Close the connections to the others."""
    group: Any = torch.distributed
    if group.is_available() and group.is_initialized():
        group.destroy_process_group()
