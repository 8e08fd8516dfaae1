"""What an agent said and was told, message by message, with who wrote each one: the unit of training on agents."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.episodes import Begins, Message, Step

Author = Literal["caller", "model", "earlier"]
"""`caller`: whoever sent the request: instructions, questions, tool results, and assistant's messages that no model of
this run wrote (examples, prefills). `model`: the model, in this trajectory. `earlier`: a model of this run, in another
trajectory, where its words are trained on."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a trajectory."""

    message: Message
    author: Author
    loss: bool
    """The student learns to write this; everything else it only reads."""
    trace_id: str
    """Of what a model wrote: the trace that it answered in. Of what a caller wrote: the trace that first holds it."""
    copied: bool = False
    """An earlier trajectory of the same agent holds this message too."""
    why: str = ""
    """Why a model's own answer has no loss; empty if it has, or is none."""


class Trajectory(msgspec.Struct, frozen=True, kw_only=True):
    """One unbroken conversation of one agent: every answer's history is the lines before it, exactly."""

    trajectory_id: str
    """`tj_` and a hash of the episode, the agent and the traces."""
    episode_id: str
    run: str
    """The agent, unique within the episode."""
    parent: str | None
    """`run` of the agent that brought this one about; None: a root."""
    parent_step: str | None
    """The trace of the parent's in which it did so, if known."""
    tool_call: str | None
    """Id of the parent's tool call that did, if known."""
    depth: int
    """0 for a root."""
    number: int
    """Among the agent's, by time, from 1."""
    begins: Begins
    follows: str | None
    """The agent's trajectory before this one."""
    lines: tuple[Line, ...]
    tools: tuple[Message, ...]
    """Tools that were offered at its last step, in OpenAI's form."""
    steps: tuple[Step, ...]
    """The steps that its own answers are from, in order."""
    score: float | None
    """Mean of the judgements of its steps; those of the episode where its steps have none; None where neither has."""
    terms: tuple[str, ...]
    """The terms under which what models wrote in it was got."""

    @property
    def learned(self) -> int:
        """Messages with loss."""
        return sum(line.loss for line in self.lines)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A trajectory that may not be trained on."""

    episode_id: str
    run: str
    number: int
    trace_id: str
    """The first trace whose answer may not be used."""
    answered_by: str
    terms: str
    outcome: str
    reason: str
