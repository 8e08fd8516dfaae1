"""An episode from the traces that belong to it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from freehold.domain.episodes import AgentRun, Episode, Segment, Step
from freehold.domain.traces import Feedback, Linked
from freehold.record.episodes.group import Grouping, Run, grouped
from freehold.record.episodes.hear import Heard


class Exchange(NamedTuple):
    """One request of an episode: what is shown of it, and what places it."""

    step: Step
    heard: Heard


def episode_of(
    episode_id: str, key: str | None, exchanges: Sequence[Exchange], feedback: Sequence[Feedback] = ()
) -> Episode:
    """The agents, segments and parents among `exchanges`, in whatever order they come. Never raises: what callers
    say that cannot be (a cycle of parents, one that never came) is in `problems`."""
    ordered = sorted(exchanges, key=lambda exchange: (exchange.step.at_ns, exchange.step.trace_id))
    found = grouped([exchange.heard for exchange in ordered])
    names = _names(found.runs)
    agents = _agents(ordered, found, names)
    how = Counter[Linked](exchange.step.linked for exchange in ordered)
    return Episode(
        episode_id=episode_id,
        key=key,
        how=tuple(linked for linked, _ in how.most_common() if linked),
        agents=agents,
        roots=tuple(agent.run for agent in agents if agent.parent is None),
        feedback=tuple(feedback),
        problems=tuple(found.problems),
    )


def _agents(exchanges: Sequence[Exchange], found: Grouping, names: list[str]) -> tuple[AgentRun, ...]:
    children: dict[int, list[str]] = {}
    for name, run in zip(names, found.runs, strict=True):
        if run.parent is not None:
            children.setdefault(run.parent, []).append(name)
    return tuple(
        AgentRun(
            run=names[at],
            named=run.agent is not None,
            parent=None if run.parent is None else names[run.parent],
            parent_step=None if run.parent_step is None else exchanges[run.parent_step].step.trace_id,
            tool_call=run.call or None,
            linked_by=run.by,
            segments=tuple(
                Segment(begins=begins, steps=tuple(_step(exchanges, found, step) for step in steps))
                for begins, steps in run.segments
            ),
            children=tuple(children.get(at, ())),
        )
        for at, run in enumerate(found.runs)
    )


def _step(exchanges: Sequence[Exchange], found: Grouping, at: int) -> Step:
    step = exchanges[at].step
    again = found.retries.get(at)
    return step if again is None else msgspec.structs.replace(step, retry_of=exchanges[again].step.trace_id)


def _names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its own, else a number that is nobody's name."""
    taken = {run.agent for run in runs}
    names: list[str] = []
    number = 0
    for run in runs:
        if run.agent is not None:
            names.append(run.agent)
            continue
        number += 1
        while f"agent-{number}" in taken:
            number += 1
        names.append(f"agent-{number}")
    return names
