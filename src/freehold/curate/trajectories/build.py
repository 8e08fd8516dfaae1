"""From an episode to trajectories: one conversation per agent and segment, with loss on what the model wrote there.

An agent sends its whole history again with every step, so a row per request would train on the k-th answer once for
each step after it. Here the steps of which each continues the one before exactly make one trajectory, and every answer
has loss in one place only: where it was given. Where it turns up again (in the history of a later segment, after a
branch, under other instructions) it is context. What the caller wrote never has loss, whatever role it is under.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from freehold.curate.trajectories.rights import Rights
from freehold.curate.trajectories.trajectory import Author, Line, Refused, Trajectory
from freehold.domain.episodes import AgentRun, Begins, Episode, Message, Step, Turn
from freehold.domain.ids import content_id
from freehold.domain.messages import arguments_form, calls_of, content_form, function_of

FINISHED = frozenset(("stop", "tool_calls", "function_call"))
"""Reasons for an answer's end after which it is whole."""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The trajectories of an episode, and what became of everything else."""

    trajectories: tuple[Trajectory, ...]
    refused: tuple[Refused, ...]
    left_out: Counter[str]
    """Reason → steps whose answers are in none of the trajectories, or there without loss."""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation of an agent before rights are asked."""

    begins: Begins
    lines: tuple[Line, ...]
    steps: tuple[Step, ...]
    tools: tuple[Message, ...]


def build_trajectories(episode: Episode, turns: Mapping[str, Turn], rights: Rights | None) -> Built:
    """Every conversation of the episode that there is something to learn from, agents by time, then segments by time.

    Args:
        episode: the run; see `freehold.record.episodes`.
        turns: what was said in each step, by trace id. A step without a turn is left out, and counted.
        rights: what asks whether each answer may train; None: the trajectories are for reading only.
    """
    left_out: Counter[str] = Counter()
    kept: list[Trajectory] = []
    refused: list[Refused] = []
    answers = _answers(episode, turns)
    depths = depths_of(episode)
    for agent in episode.agents:
        follows: str | None = None
        for number, found in enumerate(_Agent(turns, answers, left_out).conversations(agent), 1):
            used = _answered_by(found, agent, episode, turns)
            denied = _denied(used, rights)
            if denied is not None:
                refused.append(_refusal(episode, agent, number, denied, rights))
                left_out[f"rights: {refused[-1].outcome} ({refused[-1].terms})"] += len(found.steps)
                continue
            made = Trajectory(
                trajectory_id=_name(episode, agent, found),
                episode_id=episode.episode_id,
                run=agent.run,
                parent=agent.parent,
                parent_step=agent.parent_step,
                tool_call=agent.tool_call,
                depth=depths[agent.run],
                number=number,
                begins=found.begins,
                follows=follows,
                lines=found.lines,
                tools=found.tools,
                steps=found.steps,
                score=_score(episode, found.steps),
                terms=tuple(sorted({rights.verdict(by).subject for by, _ in used} if rights else ())),
            )
            follows = made.trajectory_id
            kept.append(made)
    return Built(trajectories=tuple(kept), refused=tuple(refused), left_out=left_out)


class _Agent:
    """Reads one agent's steps in order and cuts them into conversations."""

    def __init__(self, turns: Mapping[str, Turn], answers: Mapping[bytes, str], left_out: Counter[str]) -> None:
        self._turns = turns
        self._answers = answers
        self._left_out = left_out
        self._told: set[bytes] = set()
        """Digests of the messages in the agent's earlier conversations."""
        self._given: set[bytes] = set()
        """A digest of the history and the answer, for each answer with loss."""
        self._lines: list[Line] = []
        self._digests: list[bytes] = []
        self._steps: list[Step] = []
        self._tools: tuple[Message, ...] = ()

    def conversations(self, agent: AgentRun) -> list[_Found]:
        """The agent's conversations that hold something to learn, by time."""
        found: list[_Found | None] = []
        for segment in agent.segments:
            begins = segment.begins
            for step in segment.steps:
                turn = self._turns.get(step.trace_id)
                if turn is None or turn.answer is None or step.failed:
                    self._left_out["failed, or cannot be read"] += 1
                    continue
                if self._lines and turn.digests[: len(self._digests)] != tuple(self._digests):
                    found.append(self._close(begins))
                    begins = "unrelated"
                self._take(step, turn, turn.answer)
            found.append(self._close(begins))
        return [one for one in found if one is not None]

    def _take(self, step: Step, turn: Turn, answer: Message) -> None:
        """Go on with what is new in the request, and its answer."""
        known = len(self._digests)
        for message, digest in zip(turn.messages[known:], turn.digests[known:], strict=True):
            self._lines.append(self._told_line(step, message, digest))
        state = _state(turn)
        why = _not_learned(step, answer) or ("it was answered the same before" if state in self._given else "")
        if why:
            self._left_out[why] += 1
        self._given.add(state)
        self._lines.append(Line(message=answer, author="model", loss=not why, trace_id=step.trace_id, why=why))
        self._digests = [*turn.digests, turn.answer_digest]
        self._steps.append(step)
        self._tools = turn.tools

    def _told_line(self, step: Step, message: Message, digest: bytes) -> Line:
        said = self._answers.get(digest) if message.get("role") == "assistant" else None
        author: Author = "caller" if said is None else "earlier"
        copied = digest in self._told
        return Line(message=message, author=author, loss=False, trace_id=said or step.trace_id, copied=copied)

    def _close(self, begins: Begins) -> _Found | None:
        """The conversation so far, up to its last answer with loss; None if it has none."""
        lines, steps, tools = self._lines, self._steps, self._tools
        self._told.update(self._digests)
        self._lines, self._digests, self._steps, self._tools = [], [], [], ()
        while lines and not lines[-1].loss:
            lines.pop()
        if not lines:
            return None
        there = {line.trace_id for line in lines if line.author == "model"}
        return _Found(
            begins=begins,
            lines=tuple(lines),
            steps=tuple(step for step in steps if step.trace_id in there),
            tools=tools,
        )


def _answers(episode: Episode, turns: Mapping[str, Turn]) -> dict[bytes, str]:
    """Digest of each answer of the run → the trace that gave it first."""
    found: dict[bytes, str] = {}
    for step in episode.steps:
        turn = turns.get(step.trace_id)
        if turn is not None and turn.answer is not None:
            found.setdefault(turn.answer_digest, step.trace_id)
    return found


def _state(turn: Turn) -> bytes:
    return blake2b(b"".join((*turn.digests, turn.answer_digest)), digest_size=16).digest()


def _not_learned(step: Step, answer: Message) -> str:
    """Why nobody should learn to write this answer; empty if somebody should."""
    if step.finish_reason not in FINISHED:
        return f"not finished ({step.finish_reason or 'broken off'})"
    calls = calls_of(answer)
    if any(not isinstance(arguments_form(function_of(call).get("arguments")), dict) for call in calls):
        return "arguments of a tool call are no JSON object"
    return "" if calls or content_form(answer.get("content")) else "empty"


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
        base = depths.get(at, -1) if at is not None else -1
        for distance, passed in enumerate(reversed(path), 1):
            depths[passed] = base + distance
    return depths


def _answered_by(found: _Found, agent: AgentRun, episode: Episode, turns: Mapping[str, Turn]) -> list[tuple[str, str]]:
    """(who answered, trace) of all text in the conversation that a model of this run wrote.

    Beside its own answers: those of its agent's earlier conversations, the parent's answer that brought the agent
    about (the prompt is its words), and what the agent's children answered (the tool results are theirs).
    """
    by = {step.trace_id: step.answered_by for step in episode.steps}
    wrote = [line.trace_id for line in found.lines if line.author != "caller"]
    if agent.parent_step is not None:
        wrote.append(agent.parent_step)
    elif agent.parent is not None:
        wrote += [step.trace_id for step in episode.agent(agent.parent).steps]
    told = _results(found)
    for child in agent.children:
        last = episode.agent(child).steps[-1].trace_id
        turn = turns.get(last)
        text = content_form(turn.answer.get("content")) if turn is not None and turn.answer is not None else None
        if episode.agent(child).tool_call in told or (isinstance(text, str) and text.strip() in told.values()):
            wrote.append(last)
    return [(by[trace_id], trace_id) for trace_id in dict.fromkeys(wrote) if trace_id in by]


def _results(found: _Found) -> dict[Any, str]:
    """Id of a tool call → the text of its result."""
    told: dict[Any, str] = {}
    for line in found.lines:
        if line.message.get("role") == "tool":
            text = content_form(line.message.get("content"))
            told[line.message.get("tool_call_id")] = text.strip() if isinstance(text, str) else ""
    return told


def _denied(used: Sequence[tuple[str, str]], rights: Rights | None) -> tuple[str, str] | None:
    if rights is None:
        return None
    return next(((by, trace_id) for by, trace_id in used if not rights.verdict(by).permits), None)


def _refusal(
    episode: Episode, agent: AgentRun, number: int, denied: tuple[str, str], rights: Rights | None
) -> Refused:
    assert rights is not None
    answered_by, trace_id = denied
    verdict = rights.verdict(answered_by)
    return Refused(
        episode_id=episode.episode_id,
        run=agent.run,
        number=number,
        trace_id=trace_id,
        answered_by=answered_by,
        terms=verdict.subject,
        outcome=verdict.outcome,
        reason=verdict.reason,
    )


def _score(episode: Episode, steps: Sequence[Step]) -> float | None:
    ids = {step.trace_id for step in steps}
    own = [item.score for item in episode.feedback if item.score is not None and item.trace_id in ids]
    whole = [item.score for item in episode.feedback if item.score is not None and not item.trace_id]
    scores = own or whole
    return sum(scores) / len(scores) if scores else None


def _name(episode: Episode, agent: AgentRun, found: _Found) -> str:
    parts = (episode.key or "", episode.episode_id, agent.run, *(step.trace_id for step in found.steps))
    return content_id("tj", *(part.encode() for part in parts))
