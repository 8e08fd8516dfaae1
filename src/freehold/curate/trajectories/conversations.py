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


class _Open:
    """A conversation that may go on."""

    __slots__ = ("begins", "digests", "lines", "steps", "tools")

    def __init__(self, begins: Begins) -> None:
        self.begins: Begins = begins
        self.lines: list[Line] = []
        self.digests: tuple[bytes, ...] = ()
        self.steps: list[Step] = []
        self.tools: tuple[Message, ...] = ()

    def closed(self) -> Conversation | None:
        """The conversation up to its last answer with loss; None if it has none."""
        lines = list(self.lines)
        while lines and not lines[-1].loss:
            lines.pop()
        there = {line.trace_id for line in lines if line.author == "model"}
        steps = tuple(step for step in self.steps if step.trace_id in there)
        return Conversation(begins=self.begins, lines=tuple(lines), steps=steps, tools=self.tools) if lines else None


class Cutter:
    """Cuts the steps of one agent."""

    def __init__(self, turns: Mapping[str, Turn], answers: Mapping[bytes, str], left_out: Counter[str]) -> None:
        """`answers`: digest of each answer of the run → its trace; `left_out`: counts steps that nobody learns from."""
        self._turns = turns
        self._answers = answers
        self._left_out = left_out
        self._all: list[_Open] = []
        self._at: dict[bytes, _Open] = {}
        """Where each conversation stands → the conversation: several are open where a request was answered twice."""
        self._lengths: Counter[int] = Counter()
        """Of the conversations in `_at`."""
        self._given: set[bytes] = set()
        """What stands for the history and the answer, for each answer so far."""
        self._told: set[bytes] = set()
        """Digests of all messages so far."""

    def conversations(self, agent: AgentRun) -> list[Conversation]:
        """The agent's conversations that hold something to learn, segment by segment, by time."""
        for segment in agent.segments:
            begins = segment.begins
            for step in segment.steps:
                turn = self._turns.get(step.trace_id)
                if turn is None or turn.answer is None or step.failed:
                    self._left_out["failed, or cannot be read"] += 1
                else:
                    self._take(step, turn, turn.answer, begins)
                    begins = "branched"
        return [one for one in (open_one.closed() for open_one in self._all) if one is not None]

    def _take(self, step: Step, turn: Turn, answer: Message, begins: Begins) -> None:
        """Go on with the conversation that the request continues, or begin one."""
        after = (*turn.digests, turn.answer_digest)
        place = _place(after)
        if place in self._given:
            self._left_out["it was answered the same before"] += 1
            return
        self._given.add(place)
        found = self._continued(turn)
        if found is None:
            found = _Open(begins)
            self._all.append(found)
        self._add(found, step, turn, answer)
        found.digests = after
        self._at[place] = found
        self._lengths[len(after)] += 1
        self._told.update(after)

    def _continued(self, turn: Turn) -> _Open | None:
        """The longest conversation that the request begins with; it goes on by this request only."""
        for length in sorted((length for length in self._lengths if length <= len(turn.digests)), reverse=True):
            found = self._at.pop(_place(turn.digests[:length]), None)
            if found is not None:
                self._lengths -= Counter((length,))
                return found
        return None

    def _add(self, found: _Open, step: Step, turn: Turn, answer: Message) -> None:
        """What is new in the request, and its answer."""
        known, begun = len(found.digests), bool(found.lines)
        for message, digest in zip(turn.messages[known:], turn.digests[known:], strict=True):
            said = self._answers.get(digest) if message.get("role") == "assistant" else None
            author: Author = "caller" if said is None else "earlier"
            copied = not begun and digest in self._told
            line = Line(message=message, author=author, loss=False, trace_id=said or step.trace_id, copied=copied)
            found.lines.append(line)
        why = _not_learned(step, answer)
        if why:
            self._left_out[why] += 1
        found.lines.append(Line(message=answer, author="model", loss=not why, trace_id=step.trace_id, why=why))
        found.steps.append(step)
        found.tools = turn.tools


def _place(digests: tuple[bytes, ...]) -> bytes:
    """What stands for a conversation so far."""
    return blake2b(b"".join(digests), digest_size=16).digest()


def _not_learned(step: Step, answer: Message) -> str:
    """Why nobody should learn to write this answer; empty if somebody should."""
    if step.finish_reason not in FINISHED:
        return f"not finished ({step.finish_reason or 'broken off'})"
    calls = calls_of(answer)
    if not all(map(well_formed, calls)):
        return "arguments of a tool call are no JSON object"
    return "" if calls or text_of(answer).strip() else "empty"
