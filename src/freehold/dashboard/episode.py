"""An episode as lines of a page: agents and their steps, indented by who started whom. Pure."""

from __future__ import annotations

from typing import NamedTuple

from freehold.domain.episodes import AgentRun, Begins, Episode, Step

SHOWN_AGENTS = 300
SHOWN_STEPS = 1_000
DEEPEST = 12
"""Levels that are indented; deeper ones stand below each other."""

BEGINS: dict[Begins, str] = {
    "start": "",
    "compacted": "a summary takes the place of the history",
    "truncated": "older messages are left out",
    "branched": "goes on from an earlier step",
    "instructed": "under other instructions",
    "unrelated": "begins anew",
}
LINKED_BY = {
    "": "",
    "said": "its parent is as the caller says",
    "prompt": "its prompt is in a tool call of its parent's",
    "result": "its answer is the result of a tool call of its parent's",
    "history": "it took its parent's history along",
    "answer": "its parent's answer is in its prompt",
}


class StepLine(NamedTuple):
    """One step of an agent; `begins`: what stands above it where a segment begins."""

    step: Step
    begins: str


class AgentLine(NamedTuple):
    """One agent, with its figures."""

    agent: AgentRun
    depth: int
    steps: tuple[StepLine, ...]
    failed: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    unpriced: int
    """Answered steps whose price is unknown."""
    took_us: int
    """From the first request to the last answer."""
    below: int
    """Agents that it started, and they."""


class EpisodeView(NamedTuple):
    """What the page shows."""

    agents: tuple[AgentLine, ...]
    """Parents before their children, as a tree is read."""
    left_out: int
    """Agents beyond `SHOWN_AGENTS`."""
    steps_left_out: int
    """Steps of agents that are shown, beyond `SHOWN_STEPS`."""
    total: AgentLine
    """The figures of the whole episode."""


def view_episode(episode: Episode) -> EpisodeView:
    """Lay an episode out."""
    runs = {agent.run: agent for agent in episode.agents}
    order: list[tuple[AgentRun, int]] = []
    left = [(runs[run], 0) for run in reversed(episode.roots)]
    while left:
        agent, depth = left.pop()
        order.append((agent, depth))
        left += [(runs[run], depth + 1) for run in reversed(agent.children)]
    below = dict.fromkeys(runs, 0)
    for agent, _ in reversed(order):
        if agent.parent is not None:
            below[agent.parent] += below[agent.run] + 1
    room = SHOWN_STEPS
    lines: list[AgentLine] = []
    for agent, depth in order[:SHOWN_AGENTS]:
        shown = _steps(agent)[:room]
        room -= len(shown)
        lines.append(_line(agent, agent.steps, min(depth, DEEPEST), tuple(shown), below[agent.run]))
    whole = _line(episode.agents[0], episode.steps, 0, (), len(episode.agents))
    there = sum(len(line.agent.steps) for line in lines)
    return EpisodeView(tuple(lines), len(order) - len(lines), there - sum(len(line.steps) for line in lines), whole)


def _steps(agent: AgentRun) -> list[StepLine]:
    return [
        StepLine(step, BEGINS[segment.begins] if number == 0 and at else "")
        for at, segment in enumerate(agent.segments)
        for number, step in enumerate(segment.steps)
    ]


def _line(agent: AgentRun, steps: tuple[Step, ...], depth: int, shown: tuple[StepLine, ...], below: int) -> AgentLine:
    end = max(step.at_ns + step.duration_us * 1000 for step in steps)
    return AgentLine(
        agent,
        depth,
        shown,
        failed=sum(step.failed for step in steps),
        input_tokens=sum(step.input_tokens for step in steps),
        output_tokens=sum(step.output_tokens for step in steps),
        cost_nanousd=sum(step.cost_nanousd for step in steps),
        unpriced=sum(step.price_source == "none" and not step.failed for step in steps),
        took_us=(end - min(step.at_ns for step in steps)) // 1000,
        below=below,
    )
