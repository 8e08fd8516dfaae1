"""Cuts an agent's steps into conversations and says which messages of each its model wrote.

An agent sends its whole history again with every step. Steps of which each continues the one before exactly make one
conversation, in which every answer stands once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from freehold.curate.trajectories.trajectory import Author, Line
from freehold.curate.trajectories.words import calls_of, text_of, well_formed
from freehold.domain.episodes import AgentRun, Begins, Message, Step, Turn

FINISHED = frozenset(("stop", "tool_calls", "function_call"))
"""Reasons for an answer's end after which it is whole."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """An unbroken conversation of an agent that ends with an answer to learn from."""

    begins: Begins
    lines: tuple[Line, ...]
    steps: tuple[Step, ...]
    tools: tuple[Message, ...]


class Cutter:
    """Cuts the steps of one agent."""

    def __init__(self, turns: Mapping[str, Turn], answers: Mapping[bytes, str], left_out: Counter[str]) -> None:
        """`answers`: digest of each answer of the run → its trace; `left_out`: counts steps that nobody learns from."""
        self._turns = turns
        self._answers = answers
        self._left_out = left_out
        self._told: set[bytes] = set()
        """Digests of the messages in the agent's earlier conversations."""
        self._given: set[bytes] = set()
        """A digest of the history and the answer, for each answer so far."""
        self._lines: list[Line] = []
        self._digests: tuple[bytes, ...] = ()
        self._steps: list[Step] = []
        self._tools: tuple[Message, ...] = ()

    def conversations(self, agent: AgentRun) -> list[Conversation]:
        """The agent's conversations that hold something to learn, by time."""
        found: list[Conversation | None] = []
        for segment in agent.segments:
            begins = segment.begins
            for step in segment.steps:
                turn = self._turns.get(step.trace_id)
                if turn is None or turn.answer is None or step.failed:
                    self._left_out["failed, or cannot be read"] += 1
                    continue
                if turn.digests[: len(self._digests)] != self._digests:
                    found.append(self._close(begins))
                    begins = "unrelated"
                self._take(step, turn, turn.answer)
            found.append(self._close(begins))
        return [one for one in found if one is not None]

    def _take(self, step: Step, turn: Turn, answer: Message) -> None:
        """Go on with what is new in the request, and its answer."""
        known = len(self._digests)
        for message, digest in zip(turn.messages[known:], turn.digests[known:], strict=True):
            self._lines.append(self._context(step, message, digest))
        self._digests = (*turn.digests, turn.answer_digest)
        state = blake2b(b"".join(self._digests), digest_size=16).digest()
        why = _not_learned(step, answer) or ("it was answered the same before" if state in self._given else "")
        self._given.add(state)
        if why:
            self._left_out[why] += 1
        self._lines.append(Line(message=answer, author="model", loss=not why, trace_id=step.trace_id, why=why))
        self._steps.append(step)
        self._tools = turn.tools

    def _context(self, step: Step, message: Message, digest: bytes) -> Line:
        said = self._answers.get(digest) if message.get("role") == "assistant" else None
        author: Author = "caller" if said is None else "earlier"
        copied = digest in self._told
        return Line(message=message, author=author, loss=False, trace_id=said or step.trace_id, copied=copied)

    def _close(self, begins: Begins) -> Conversation | None:
        """The conversation so far, up to its last answer with loss; None if it has none."""
        lines, steps, tools = self._lines, self._steps, self._tools
        self._told.update(self._digests)
        self._lines, self._digests, self._steps, self._tools = [], (), [], ()
        while lines and not lines[-1].loss:
            lines.pop()
        there = {line.trace_id for line in lines if line.author == "model"}
        kept = tuple(step for step in steps if step.trace_id in there)
        return Conversation(begins=begins, lines=tuple(lines), steps=kept, tools=tools) if lines else None


def _not_learned(step: Step, answer: Message) -> str:
    """Why nobody should learn to write this answer; empty if somebody should."""
    if step.finish_reason not in FINISHED:
        return f"not finished ({step.finish_reason or 'broken off'})"
    calls = calls_of(answer)
    if not all(map(well_formed, calls)):
        return "arguments of a tool call are no JSON object"
    return "" if calls or text_of(answer).strip() else "empty"
