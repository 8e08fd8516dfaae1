"""Which trajectories of a run are kept where it has more than a run may give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import zip_longest

from freehold.curate.trajectories.trajectory import Trajectory

MAX_ROWS_PER_RUN = 64
"""Room for a trajectory of each of 50 parallel agents and a dozen more, so that no agent of such a run vanishes; a run
of thousands of agents, which say much the same, then weighs no more than that run."""


def cap_rows(trajectories: Sequence[Trajectory], limit: int) -> tuple[Trajectory, ...]:
    """At most `limit` trajectories of one episode, in the order they came in; a pure function of them and `limit`.

    By turns: every agent gives its richest trajectory (most messages with loss) before any gives its second; within a
    turn the depths of the tree take turns, roots first, and within a depth a hash of the agent's name decides, so that
    neither early nor alphabetically first agents are preferred.
    """
    if len(trajectories) <= limit:
        return tuple(trajectories)
    kept = {item.trajectory_id for item, _ in zip(_in_turns(trajectories), range(limit), strict=False)}
    return tuple(item for item in trajectories if item.trajectory_id in kept)


def _in_turns(trajectories: Sequence[Trajectory]) -> Iterator[Trajectory]:
    agents: dict[str, list[Trajectory]] = {}
    for item in trajectories:
        agents.setdefault(item.run, []).append(item)
    ranked = [sorted(items, key=lambda item: (-item.learned, item.number)) for items in agents.values()]
    for turn in range(max(map(len, ranked))):
        yield from _over_depths(items[turn] for items in ranked if turn < len(items))


def _over_depths(trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
    depths: dict[int, list[Trajectory]] = {}
    for item in trajectories:
        depths.setdefault(item.depth, []).append(item)
    for depth in depths.values():
        depth.sort(key=_lot)
    for row in zip_longest(*(depths[depth] for depth in sorted(depths))):
        yield from (item for item in row if item is not None)


def _lot(item: Trajectory) -> bytes:
    return blake2b(f"{item.episode_id}\n{item.run}".encode(), digest_size=16).digest()
