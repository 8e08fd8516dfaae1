"""An agent run as it is read back: an episode, its agents as a tree, and the steps of each. Frozen; made by
`freehold.record.episodes` from traces, which are what is stored."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from freehold.domain.traces import Feedback, Linked

Begins = Literal["start", "compacted", "truncated", "branched", "instructed", "unrelated"]
"""Why a segment begins: `start`: the agent's first; `compacted`: what the model wrote stands in place of the history;
`truncated`: older messages were left out; `branched`: the history goes on from an earlier step than the last;
`instructed`: the same history under other instructions; `unrelated`: the same agent by name, with a history that has
nothing to do with what went before."""

LinkedBy = Literal["", "said", "prompt", "result", "history", "answer"]
"""How a parent was found: `said`: the caller named it; `prompt`: a tool call of the parent's holds the agent's first
prompt; `result`: the result of a tool call of the parent's is the agent's last answer; `history`: the agent's first
request goes on from the parent's history, beside the parent; `answer`: its first prompt holds the parent's answer.
Empty: there is none."""

Message = dict[str, Any]
"""A message of OpenAI's chat completions: `role`, `content` (text, or parts where some are not text), `tool_calls`,
`tool_call_id`, `name`."""


LONGEST_NAME = 128


def is_name(text: str) -> bool:
    """Whether `text` can name an episode, an agent, a parent or a subject: 1 to 128 visible ASCII characters."""
    return 0 < len(text) <= LONGEST_NAME and text.isascii() and text.isprintable() and not text.isspace()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One request of an agent, and who answered it."""

    trace_id: str
    at_ns: int
    """Unix nanoseconds when the request had been read."""
    api: str
    model: str
    answered_by: str
    owned: bool
    status: int
    error: str | None
    duration_us: int
    finish_reason: str
    input_tokens: int
    output_tokens: int
    tokens_source: str
    cost_nanousd: int
    price_source: str
    linked: Linked
    """How the exchange was found to belong to the episode."""
    retry_of: str | None = None
    """The trace of an earlier step with the same request, which had no good answer."""

    @property
    def failed(self) -> bool:
        """Nothing usable was answered."""
        return self.error is not None or not 200 <= self.status < 300


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of which each one's request is the one's before, its answer, and something new (or a retry)."""

    begins: Begins
    steps: tuple[Step, ...]
    """At least one, by time."""


class AgentRun(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's part of an episode."""

    run: str
    """Unique within the episode: the agent's name as the caller gave it, else `agent-1`, `agent-2` … by first step."""
    named: bool
    """The caller gave the name."""
    parent: str | None
    """`run` of the agent that brought this one about; None: a root."""
    parent_step: str | None
    """The trace of the parent's in which it did so, if known."""
    tool_call: str | None
    """Id of the parent's tool call that did, if known."""
    linked_by: LinkedBy
    segments: tuple[Segment, ...]
    """By time of their first step; a step lies in one only."""
    children: tuple[str, ...] = ()
    """`run` of each agent that this one brought about, by time."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them, segment by segment."""
        return tuple(step for segment in self.segments for step in segment.steps)


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One agent run with all its agents."""

    episode_id: str
    key: str | None
    """The virtual key whose traces these are; an episode never spans two."""
    how: tuple[Linked, ...]
    """The ways in which its steps were found to belong together."""
    agents: tuple[AgentRun, ...]
    """By time of their first step; parents are named, so that any depth and breadth is plain data."""
    roots: tuple[str, ...]
    """`run` of each agent without a parent."""
    feedback: tuple[Feedback, ...] = ()
    """Judgements of the episode (`trace_id` empty) and of its steps, oldest first."""
    problems: tuple[str, ...] = ()
    """What was not as it should be, in sentences: a parent that never came, a cycle of parents."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of all agents, by time."""
        return tuple(
            sorted(
                (step for agent in self.agents for step in agent.steps), key=lambda step: (step.at_ns, step.trace_id)
            )
        )

    def agent(self, run: str) -> AgentRun:
        """The agent of this `run`.

        Raises:
            KeyError: there is none.
        """
        return next((agent for agent in self.agents if agent.run == run), None) or _none(run)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in one step, whatever API it was by."""

    trace_id: str
    messages: tuple[Message, ...]
    """Of the request, instructions first; with the history, where the provider keeps it (`previous_response_id`)."""
    answer: Message | None
    """What the model wrote; None if nothing could be read or the answer broke off."""
    digests: tuple[bytes, ...]
    """Of each message: equal for messages that say the same (see `freehold.record.episodes.messages`)."""
    answer_digest: bytes
    """Of the answer, as it would be in the history of the next step; empty if there is none."""
    tools: tuple[dict[str, Any], ...] = ()
    """The tools that were offered, in OpenAI's form; what is not a function's stays as it was sent."""


class EpisodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of episodes."""

    episode_id: str
    key: str | None
    how: tuple[Linked, ...]
    first_ns: int
    last_ns: int
    """When the last step was asked."""
    steps: int
    agents: int
    failed: int
    """Steps without a good answer."""
    input_tokens: int
    output_tokens: int
    cost_nanousd: int


def _none(run: str) -> AgentRun:
    raise KeyError(run)
