"""From an episode to trajectories: one conversation per agent and segment, with loss on what the model wrote there.

A row per request would train on the k-th answer once for each step after it. Here every answer has loss in one place:
where it was given. Where it turns up again (in the history of a later segment, after a branch, under other
instructions) it is context. What the caller wrote never has loss, whatever role it is under.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from freehold.curate.trajectories.conversations import Conversation, Cutter
from freehold.curate.trajectories.rights import Rights
from freehold.curate.trajectories.trajectory import Refused, Trajectory
from freehold.curate.trajectories.words import text_of
from freehold.domain.episodes import AgentRun, Episode, Step, Turn
from freehold.domain.evidence import Verdict
from freehold.domain.ids import content_id
from freehold.rights.words import basis


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The trajectories of an episode, and what became of everything else."""

    trajectories: tuple[Trajectory, ...]
    refused: tuple[Refused, ...]
    left_out: Counter[str]
    """Reason → steps whose answers are in none of the trajectories, or there without loss."""


def build_trajectories(episode: Episode, turns: Mapping[str, Turn], rights: Rights | None) -> Built:
    """Every conversation of the episode that there is something to learn from, agents by time, then segments by time.

    Args:
        episode: the run; see `freehold.record.episodes`.
        turns: what was said in each step, by trace id. A step without a turn is left out, and counted.
        rights: what asks whether each answer may train; None: the trajectories are for reading only.
    """
    return _Builder(episode, turns, rights).build()


class _Builder:
    def __init__(self, episode: Episode, turns: Mapping[str, Turn], rights: Rights | None) -> None:
        self._episode = episode
        self._turns = turns
        self._rights = rights
        self._agents = {agent.run: agent for agent in episode.agents}
        self._answered_by: dict[str, str] = {}
        """Of each step with an answer."""
        self._answers: dict[bytes, str] = {}
        for step in episode.steps:
            turn = turns.get(step.trace_id)
            if turn is not None and turn.answer is not None:
                self._answered_by[step.trace_id] = step.answered_by
                self._answers.setdefault(turn.answer_digest, step.trace_id)

    def build(self) -> Built:
        left_out: Counter[str] = Counter()
        kept: list[Trajectory] = []
        refused: list[Refused] = []
        depths = depths_of(self._episode)
        for agent in self._episode.agents:
            follows: str | None = None
            cutter = Cutter(self._turns, self._answers, left_out)
            for number, found in enumerate(cutter.conversations(agent), 1):
                used = self._used(found, agent)
                refusal = self._refusal(used, agent, number)
                if refusal is not None:
                    refused.append(refusal)
                    left_out[f"rights: {refusal.outcome} ({refusal.terms})"] += len(found.steps)
                    continue
                made = self._trajectory(found, agent, number, depths[agent.run], follows, self._terms(used))
                follows = made.trajectory_id
                kept.append(made)
        return Built(trajectories=tuple(kept), refused=tuple(refused), left_out=left_out)

    def _trajectory(
        self, found: Conversation, agent: AgentRun, number: int, depth: int, follows: str | None, terms: tuple[str, ...]
    ) -> Trajectory:
        episode = self._episode
        parts = (episode.key or "", episode.episode_id, agent.run, *(step.trace_id for step in found.steps))
        return Trajectory(
            trajectory_id=content_id("tj", *(part.encode() for part in parts)),
            episode_id=episode.episode_id,
            run=agent.run,
            parent=agent.parent,
            parent_step=agent.parent_step,
            tool_call=agent.tool_call,
            depth=depth,
            number=number,
            begins=found.begins,
            follows=follows,
            lines=found.lines,
            tools=found.tools,
            steps=found.steps,
            score=_score(episode, found.steps),
            terms=terms,
        )

    def _used(self, found: Conversation, agent: AgentRun) -> list[str]:
        """Traces of all text in the conversation that a model of this run wrote.

        Beside its own answers: those of its agent's earlier conversations, the parent's answer that brought the agent
        about (the prompt is its words), and what the agent's children answered (the tool results are theirs).
        """
        wrote = [line.trace_id for line in found.lines if line.author != "caller"]
        if agent.parent_step is not None:
            wrote.append(agent.parent_step)
        elif agent.parent in self._agents:
            wrote += [step.trace_id for step in self._agents[agent.parent].steps]
        results = [line.message for line in found.lines if line.message.get("role") == "tool"]
        calls = {message.get("tool_call_id") for message in results} - {None}
        texts = {text_of(message).strip() for message in results} - {""}
        for child in (self._agents[run] for run in agent.children if run in self._agents):
            last = child.steps[-1].trace_id
            turn = self._turns.get(last)
            answer = text_of(turn.answer).strip() if turn is not None and turn.answer is not None else ""
            if child.tool_call in calls or answer in texts:
                wrote.append(last)
        return [trace_id for trace_id in dict.fromkeys(wrote) if trace_id in self._answered_by]

    def _verdict(self, trace_id: str) -> Verdict | None:
        return None if self._rights is None else self._rights.verdict(self._answered_by[trace_id])

    def _terms(self, used: Sequence[str]) -> tuple[str, ...]:
        verdicts = (self._verdict(trace_id) for trace_id in used)
        return tuple(sorted({verdict.subject for verdict in verdicts if verdict is not None}))

    def _refusal(self, used: Sequence[str], agent: AgentRun, number: int) -> Refused | None:
        for trace_id in used:
            verdict = self._verdict(trace_id)
            if verdict is not None and not verdict.permits:
                return Refused(
                    episode_id=self._episode.episode_id,
                    run=agent.run,
                    number=number,
                    trace_id=trace_id,
                    answered_by=self._answered_by[trace_id],
                    terms=verdict.subject,
                    outcome=verdict.outcome,
                    reason=f"{verdict.reason} {basis(verdict.source, verdict.date)}",
                )
        return None


def depths_of(episode: Episode) -> dict[str, int]:
    """How far below a root each agent is; a cycle of parents ends where it closes."""
    parents = {agent.run: agent.parent for agent in episode.agents}
    depths: dict[str, int] = {}
    for run in parents:
        path: list[str] = []
        at: str | None = run
        while at is not None and at in parents and at not in depths and at not in path:
            path.append(at)
            at = parents[at]
        base = -1 if at is None else depths.get(at, -1)
        for distance, passed in enumerate(reversed(path), 1):
            depths[passed] = base + distance
    return depths


def _score(episode: Episode, steps: Sequence[Step]) -> float | None:
    ids = {step.trace_id for step in steps}
    own = [item.score for item in episode.feedback if item.score is not None and item.trace_id in ids]
    whole = [item.score for item in episode.feedback if item.score is not None and not item.trace_id]
    scores = own or whole
    return sum(scores) / len(scores) if scores else None
