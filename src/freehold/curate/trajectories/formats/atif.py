"""Trajectories as documents of the Agent Trajectory Interchange Format, version 1.7 (Harbor's RFC 0001).

A document is one conversation of a root agent. The conversations of the agents that it brought about are embedded in it
and referred to where it did so, and so on down the tree. A segment that follows another of the same agent is a document
of its own, which the one before names; what both hold is marked as copied, and what a caller wrote in a model's name
has `llm_call_count` 0: trainers leave both out, by the RFC's rules. What ATIF has no field for is in `extra.freehold`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from freehold.curate.trajectories.formats.atif_steps import Steps
from freehold.curate.trajectories.trajectory import Trajectory

VERSION = "ATIF-v1.7"
NANO = 10**9
MAX_DEPTH = 64
"""Agents further below a root are documents of their own: readers of JSON give up on deep nesting."""
Document = dict[str, Any]


def atif_documents(trajectories: Sequence[Trajectory]) -> list[Document]:
    """The documents of one episode: one for each conversation that no other one embeds, in order."""
    by_run: dict[str, list[Trajectory]] = {}
    for item in trajectories:
        by_run.setdefault(item.run, []).append(item)
    holders = {run: _holder(items[0], by_run) for run, items in by_run.items()}
    embedded: dict[str, list[str]] = {}
    for run, holder in holders.items():
        if holder is not None:
            embedded.setdefault(holder, []).append(run)
    following = {item.follows: item.trajectory_id for item in trajectories if item.follows is not None}
    writer = _Writer(by_run, embedded, following)
    return [writer.document(item)[0] for item in trajectories if holders[item.run] is None]


def _holder(item: Trajectory, by_run: dict[str, list[Trajectory]]) -> str | None:
    """The conversation of the parent's that brought the agent about, as far as can be told; None for a root.

    A parent that is no nearer to a root than its child (parents in a circle) holds nothing, or there would be no end.
    Nor does one that lies `MAX_DEPTH` deep.
    """
    parents = by_run.get(item.parent, []) if item.parent is not None else []
    if not parents or parents[0].depth >= item.depth or item.depth % MAX_DEPTH == 0:
        return None
    known = (one for one in parents if any(step.trace_id == item.parent_step for step in one.steps))
    return next(known, parents[0]).trajectory_id


class _Writer:
    def __init__(
        self, by_run: dict[str, list[Trajectory]], embedded: dict[str, list[str]], following: dict[str, str]
    ) -> None:
        self._by_run = by_run
        self._embedded = embedded
        self._following = following

    def document(self, item: Trajectory) -> tuple[Document, int]:
        """The document of a conversation, and its cost with all that it embeds (10⁻⁹ dollars)."""
        steps = Steps(item)
        cost = sum(step.cost_nanousd for step in item.steps)
        children: list[Document] = []
        for run in self._embedded.get(item.trajectory_id, []):
            parts = self._by_run[run]
            steps.refer(parts[0], [{"trajectory_id": part.trajectory_id} for part in parts])
            for part in parts:
                child, spent = self.document(part)
                children.append(child)
                cost += spent
        document: Document = {
            "schema_version": VERSION,
            "session_id": item.episode_id,
            "trajectory_id": item.trajectory_id,
            "agent": _agent(item),
            "steps": steps.made,
            "final_metrics": _totals(item, len(steps.made), cost),
            "extra": {"freehold": _about(item)},
        }
        if steps.notes:
            document["notes"] = " ".join(steps.notes)
        if item.trajectory_id in self._following:
            document["continued_trajectory_ref"] = self._following[item.trajectory_id]
        if children:
            document["subagent_trajectories"] = children
        return document, cost


def _agent(item: Trajectory) -> dict[str, Any]:
    models = Counter(step.answered_by.partition("/")[2] for step in item.steps)
    agent: dict[str, Any] = {"name": item.run, "version": "unknown"}  # required, and no request tells
    if models:
        agent["model_name"] = min(models, key=lambda name: (-models[name], name))
    if item.tools:
        agent["tool_definitions"] = list(item.tools)
    return agent


def _totals(item: Trajectory, steps: int, cost: int) -> dict[str, Any]:
    counted = [step for step in item.steps if step.tokens_source]
    return {
        "total_prompt_tokens": sum(step.input_tokens for step in counted),
        "total_completion_tokens": sum(step.output_tokens for step in counted),
        "total_cost_usd": cost / NANO,
        "total_steps": steps,
    }


def _about(item: Trajectory) -> dict[str, Any]:
    return {
        "segment": item.number,
        "begins": item.begins,
        "follows": item.follows,
        "parent": item.parent,
        "score": item.score,
        "terms": list(item.terms),
    }
