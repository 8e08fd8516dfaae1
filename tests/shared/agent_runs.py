"""Agent runs with their truth: what each model wrote, in which conversation, and what nobody may learn to write.

A `Harness` plays a run as agents' programs do: a growing history, tools (some called in parallel), sub-agents behind
tools, tries again, histories cut short or summed up, branches, and examples that the caller wrote in a model's name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from freehold.domain.episodes import AgentRun, Begins, Episode, Message, Segment, Step, Turn
from freehold.domain.traces import Feedback, Trace
from freehold.record.episodes.digests import digest

START_NS = 1_760_000_000_000_000_000
TOOLS: tuple[dict[str, Any], ...] = tuple(
    {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": {"type": "object"}}}
    for name in ("look_up", "write_file", "ask_agent")
)
WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "knoll", "ledge")


class Played(msgspec.Struct, kw_only=True):
    """One step as it happened."""

    step: Step
    turn: Turn
    agent: str
    segment: int


class Agent:
    """One agent's program: its history, and what it does with it."""

    def __init__(self, harness: Harness, name: str, prompt: str, examples: bool) -> None:
        self.harness = harness
        self.name = name
        self.parent: Agent | None = None
        self.parent_step: str | None = None
        self.tool_call: str | None = None
        self.segment = 0
        self.begins: dict[int, Begins] = {0: "start"}
        self.history: list[Message] = [{"role": "system", "content": f"You are {name}."}]
        if examples:  # one of them is what the model will say, word for word
            self.history += [{"role": "user", "content": "An example?"}, {"role": "assistant", "content": "Done."}]
        self.history.append({"role": "user", "content": prompt})

    def say(self, **of_step: Any) -> Message:
        """One good step: the model answers in words, and the history grows by it."""
        return self._answered({"role": "assistant", "content": self.harness.words()}, "stop", **of_step)

    def done(self) -> Message:
        """The model answers as the caller's example did."""
        return self._answered({"role": "assistant", "content": "Done."}, "stop")

    def call(self, count: int = 1) -> list[dict[str, Any]]:
        """The model calls `count` tools at once; their results are not there yet."""
        calls = [self.harness.tool_call() for _ in range(count)]
        words = self.harness.words() if self.harness.rng.random() < 0.5 else None
        self._answered({"role": "assistant", "content": words, "tool_calls": calls}, "tool_calls")
        return calls

    def result(self, call: dict[str, Any], text: str) -> None:
        """What a tool gave."""
        self.history.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    def tell(self, text: str) -> None:
        """What the user says next."""
        self.history.append({"role": "user", "content": text})

    def spawn(self, name: str) -> Agent:
        """The model calls for a sub-agent; its last answer is to be given to `finish`."""
        call = self.call(1)[0]
        child = self.harness.agent(name, prompt=f"{call['function']['arguments']} for {name}")
        child.parent, child.parent_step, child.tool_call = self, self.harness.played[-1].step.trace_id, call["id"]
        return child

    def finish(self, child: Agent) -> None:
        """Give the parent what the child answered last."""
        assert child.tool_call is not None
        self.history.append({"role": "tool", "tool_call_id": child.tool_call, "content": child.history[-1]["content"]})

    def fail(self) -> None:
        """A try that nobody answered; the history stays."""
        self.harness.play(self, list(self.history), None, status=503, error="upstream_error: gone", finish_reason="")

    def broken_off(self) -> None:
        """An answer that ran into its limit, and that the program goes on from."""
        self._answered({"role": "assistant", "content": self.harness.words()}, "length")

    def compact(self) -> None:
        """The history is replaced by a summary."""
        self._new_segment("compacted")
        self.history = [self.history[0], {"role": "user", "content": f"So far: {self.harness.words()}"}]

    def truncate(self) -> None:
        """The oldest turns are cut off; the rest stays."""
        self._new_segment("truncated")
        keep = next((n for n in range(len(self.history) // 2, len(self.history)) if self._may_begin(n)), None)
        self.history = [self.history[0], *(self.history[keep:] if keep else [self.history[-1]])]

    def branch(self) -> None:
        """The user goes back and says something else."""
        at = [n for n, message in enumerate(self.history) if message["role"] == "user"]
        self._new_segment("branched")
        self.history = [*self.history[: at[-1] if at else 1], {"role": "user", "content": self.harness.words()}]

    def _may_begin(self, index: int) -> bool:
        return self.history[index]["role"] in ("user", "assistant")

    def _new_segment(self, begins: Begins) -> None:
        self.segment += 1
        self.begins[self.segment] = begins

    def _answered(self, answer: Message, finish_reason: str, **of_step: Any) -> Message:
        self.harness.play(self, list(self.history), answer, finish_reason=finish_reason, **of_step)
        self.history.append(answer)
        return answer


class Harness:
    """A run being played."""

    def __init__(self, seed: int = 0, *, answered_by: str = "inc/large", episode_id: str = "run-1") -> None:
        self.rng = random.Random(seed)
        self.answered_by = answered_by
        self.episode_id = episode_id
        self.key: str | None = None
        self.agents: list[Agent] = []
        self.played: list[Played] = []
        self.feedback: list[Feedback] = []
        self._calls = 0

    def agent(self, name: str, *, prompt: str = "", examples: bool = False) -> Agent:
        """A new agent."""
        made = Agent(self, name, prompt or self.words(), examples)
        self.agents.append(made)
        return made

    def words(self) -> str:
        """A sentence of the model's that it says once only."""
        self._calls += 1
        return f"{' '.join(self.rng.choices(WORDS, k=self.rng.randrange(4, 12)))} {self._calls}."

    def tool_call(self) -> dict[str, Any]:
        """A call of the model's."""
        self._calls += 1
        arguments = msgspec.json.encode({"query": self.rng.choice(WORDS), "n": self._calls}).decode()
        return {
            "id": f"call_{self._calls}",
            "type": "function",
            "function": {"name": self.rng.choice(TOOLS)["function"]["name"], "arguments": arguments},
        }

    def play(self, agent: Agent, messages: list[Message], answer: Message | None, **of_step: Any) -> None:
        """One request, and what came of it."""
        number = len(self.played)
        trace_id = f"tr_{number + 1:016x}{abs(hash_of(self.episode_id)) % 16**12:012x}"
        fields: dict[str, Any] = {
            "status": 200,
            "error": None,
            "finish_reason": "stop",
            "answered_by": self.answered_by,
        }
        fields |= of_step
        step = Step(
            trace_id=trace_id,
            at_ns=START_NS + number * 1_000_000_000,
            api="chat",
            model="large",
            owned=False,
            duration_us=250_000,
            input_tokens=sum(len(str(message)) for message in messages) // 4,
            output_tokens=len(str(answer)) // 4,
            tokens_source="measured",
            cost_nanousd=1_000,
            price_source="config",
            linked="header",
            **fields,
        )
        digests = tuple(map(digest, messages))
        end = digest(answer) if answer is not None else b""
        turn = Turn(
            trace_id=trace_id,
            messages=tuple(messages),
            answer=answer,
            digests=digests,
            answer_digest=end,
            tools=TOOLS,
        )
        self.played.append(Played(step=step, turn=turn, agent=agent.name, segment=agent.segment))

    def judge(self, score: float, trace_id: str = "") -> None:
        """Feedback on a step, or on the episode."""
        episode = None if trace_id else self.episode_id
        identity = f"fb_{len(self.feedback):016x}"
        self.feedback.append(
            Feedback(feedback_id=identity, trace_id=trace_id, episode=episode, at_ns=START_NS, score=score)
        )

    @property
    def turns(self) -> dict[str, Turn]:
        """What was said, by trace id."""
        return {played.turn.trace_id: played.turn for played in self.played}

    @property
    def episode(self) -> Episode:
        """The run as it is read back."""
        agents = [agent for agent in self.agents if any(played.agent == agent.name for played in self.played)]
        return Episode(
            episode_id=self.episode_id,
            key=self.key,
            how=("header",),
            agents=tuple(map(self._agent_run, agents)),
            roots=tuple(agent.name for agent in agents if agent.parent is None),
            feedback=tuple(self.feedback),
        )

    def _agent_run(self, agent: Agent) -> AgentRun:
        segments: dict[int, list[Step]] = {}
        for played in self.played:
            if played.agent == agent.name:
                segments.setdefault(played.segment, []).append(played.step)
        return AgentRun(
            run=agent.name,
            named=True,
            parent=agent.parent.name if agent.parent else None,
            parent_step=agent.parent_step,
            tool_call=agent.tool_call,
            linked_by="said" if agent.parent else "",
            segments=tuple(Segment(begins=agent.begins[n], steps=tuple(steps)) for n, steps in segments.items()),
            children=tuple(child.name for child in self.agents if child.parent is agent),
        )

    @property
    def learned(self) -> dict[str, Message]:
        """The answers that are to be learned, by trace id."""
        good = (played for played in self.played if played.step.finish_reason in ("stop", "tool_calls"))
        return {played.step.trace_id: played.turn.answer for played in good if played.turn.answer is not None}

    def traces(self) -> list[Trace]:
        """The run as the gateway records it, in chat completions."""
        made = [self._trace(played) for played in self.played]
        return sorted(made, key=lambda trace: trace.at_ns)

    def _trace(self, played: Played) -> Trace:
        step, turn = played.step, played.turn
        agent = next(agent for agent in self.agents if agent.name == played.agent)
        request = {"model": step.model, "messages": turn.messages, "tools": TOOLS}
        response: dict[str, Any] = {"error": {"message": "gone"}}
        if turn.answer is not None:
            choice = {"index": 0, "message": turn.answer, "finish_reason": step.finish_reason}
            usage = {"prompt_tokens": step.input_tokens, "completion_tokens": step.output_tokens}
            response = {"id": "c", "model": "large", "choices": [choice], "usage": usage}
        return Trace(
            trace_id=step.trace_id,
            at_ns=step.at_ns,
            model=step.model,
            answered_by=step.answered_by,
            status=step.status,
            error=step.error,
            duration_us=step.duration_us,
            request=msgspec.json.encode(request),
            response=msgspec.json.encode(response),
            episode=self.episode_id,
            agent=agent.name,
            parent=agent.parent.name if agent.parent else None,
            key=self.key,
        )


def hash_of(text: str) -> int:
    """A number that stands for the text in every process."""
    return int.from_bytes(text.encode()[:6].ljust(6, b"\0"), "big")


def wander(harness: Harness, choices: Sequence[int]) -> None:
    """Play a run that `choices` decides, each a number from 0 to 11: any list of them is a run."""
    agents = [harness.agent("main", examples=True)]
    for number, choice in enumerate(choices):
        agent = agents[number * 7 % len(agents)]
        if choice < 3:
            agent.say()
            agent.tell(harness.words())
        elif choice < 5:
            for call in agent.call(choice - 2):
                agent.result(call, f"found {harness.words()}")
        elif choice == 5:
            agent.fail()
        elif choice == 6:
            agent.compact()
        elif choice == 7:
            agent.truncate()
        elif choice == 8:
            agent.branch()
        elif choice == 9:
            agent.broken_off()
            agent.tell("Go on.")
        elif choice == 10:
            agent.done()
            agent.tell(harness.words())
        else:
            child = agent.spawn(f"agent-{len(agents)}")
            agents.append(child)
            child.say()
            agent.finish(child)
            child.tell("And more?")
