"""One line of JSON per trajectory in the form that OpenAI's fine-tuning takes: `messages` and `tools`.

An assistant's message has `weight` 1 where it is learned and 0 where not, as OpenAI's guide to fine-tuning documents it
for conversations of several turns. Beside it, for trainers of one's own: `loss_mask`, a 0 or 1 for each message, and
`freehold`, where the row comes from.
"""

from __future__ import annotations

from typing import Any

from freehold.curate.trajectories.trajectory import Line, Trajectory

FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
"""Of a message; others say nothing to a trainer, or are refused by one."""


def chat_row(trajectory: Trajectory) -> dict[str, Any]:
    """The row of one trajectory; `loss_mask`, `authors` and `traces` have an item for each message."""
    row: dict[str, Any] = {"messages": [_message(line) for line in trajectory.lines]}
    if trajectory.tools:
        row["tools"] = list(trajectory.tools)
    row["loss_mask"] = [int(line.loss) for line in trajectory.lines]
    row["freehold"] = provenance(trajectory, trajectory.lines)
    return row


def _message(line: Line) -> dict[str, Any]:
    message = {name: line.message[name] for name in FIELDS if name in line.message}
    if message.get("role") == "assistant":
        message["weight"] = int(line.loss)
    return message


def provenance(trajectory: Trajectory, lines: tuple[Line, ...]) -> dict[str, Any]:
    """Where a row comes from: the run, the agent, who wrote each of `lines` and in which trace, rights, judgement."""
    return {
        "trajectory": trajectory.trajectory_id,
        "episode": trajectory.episode_id,
        "agent": trajectory.run,
        "parent": trajectory.parent,
        "segment": trajectory.number,
        "begins": trajectory.begins,
        "follows": trajectory.follows,
        "score": trajectory.score,
        "terms": list(trajectory.terms),
        "models": sorted({step.answered_by for step in trajectory.steps}),
        "authors": [line.author for line in lines],
        "traces": [line.trace_id for line in lines],
    }
