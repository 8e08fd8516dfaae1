"""Which requests belong to one agent run, where nobody said so: by their messages alone. Pure.

Agents are found by `chains`, who started whom by `spawns`; an agent with all that it brought about is one episode. The
episode is named after its first request: `ep_` and the digits of its trace id, so that the same traffic always has the
same names, and a name says when the episode began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from freehold.record.episodes.group import Run, grouped
from freehold.record.episodes.hear import Heard

PREFIX = "ep_"


class Inferred(NamedTuple):
    """What was found."""

    episode_of: dict[str, str]
    """Trace id → id of its episode, for all that belong to an episode of two requests or more."""
    agents: dict[str, int]
    """Episode id → number of its agents."""
    by_response_id: set[str]
    """Of these traces those that name the response that they go on from."""


def inferred(heard: Sequence[Heard]) -> Inferred:
    """The episodes among requests that say of none; `heard` is of any callers and in any order.

    Two keys never share an episode.
    """
    of_key: dict[str | None, list[Heard]] = defaultdict(list)
    for one in sorted(heard, key=lambda one: (one.at_ns, one.trace_id)):
        of_key[one.key].append(one)
    found = Inferred({}, {}, set())
    for own in of_key.values():
        runs = grouped(own).runs
        episodes: dict[int, list[int]] = defaultdict(list)
        for at in range(len(runs)):
            episodes[_root(runs, at)].append(at)
        for members in episodes.values():
            steps = [step for member in members for step in runs[member].steps]
            if len(steps) > 1:
                name = episode_name(own[min(steps)].trace_id)
                found.episode_of.update((own[step].trace_id, name) for step in steps)
                found.agents[name] = len(members)
                found.by_response_id.update(own[step].trace_id for step in steps if own[step].previous_id)
    return found


def episode_name(trace_id: str) -> str:
    """The id of an episode that begins with this trace."""
    return PREFIX + trace_id.partition("_")[2]


def first_trace(episode_id: str) -> str | None:
    """The trace that an inferred episode begins with; None if it is not the id of one."""
    digits = episode_id.removeprefix(PREFIX)
    inferred = episode_id.startswith(PREFIX) and len(digits) >= 8 and not digits.strip("0123456789abcdef")
    return f"tr_{digits}" if inferred else None


def _root(runs: Sequence[Run], at: int) -> int:
    while (parent := runs[at].parent) is not None:
        at = parent
    return at
