"""Traffic of agents with its truth: which request is whose, who started whom, what belongs together.

Several runs at once; in each a root that works with tools and starts dozens of sub-agents side by side, some of which
start their own. A `Level` says what makes it hard. Beside the agents: requests that belong to nothing, and short chats
that begin alike. All from a seed; nothing in a request says which run it is of.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from freehold.domain.traces import Api, Trace

SECOND = 1_000_000_000
START_NS = 1_780_000_000 * SECOND
_WORDS = """
amber basin cedar delta ember fjord grove haven inlet jetty knoll ledge marsh nexus orbit prism quarry ridge shore tidal
upland vale weir yonder zephyr ledger invoice region market supplier clause tariff vector kernel buffer thread socket
parser schema column index margin budget quarter harvest orchard bridge tunnel station
"""
WORDS = tuple(_WORDS.split())
SYSTEM = "You are an agent. Use the tools, keep notes, and say when you are done."


@dataclass(frozen=True)
class Level:
    """How hard a traffic is; rates are per step."""

    name: str
    runs: int = 6
    children: int = 52
    """Sub-agents that a root starts."""
    depth: int = 2
    alike: bool = True
    """All agents have the same system prompt."""
    failing: float = 0.0
    """Steps that fail and are sent again."""
    doubled: float = 0.0
    """Steps that are sent twice at once; both are answered, the first answer is used."""
    cut: float = 0.0
    """Steps after which the oldest messages are left out from then on."""
    compacted: float = 0.0
    """Steps after which a summary takes the place of the history."""
    same_tasks: bool = False
    """All runs do the same: the same first message, the same prompts for sub-agents."""
    bare_ids: bool = False
    """Tool calls are numbered from 0 in every answer, instead of having ids of their own."""
    reworded: float = 0.0
    """Sub-agents whose prompt is not what the call said."""
    digested: float = 0.0
    """Sub-agents whose answer is not what comes back as the result."""
    single: int = 400
    """Requests that belong to nothing."""
    chats: int = 60
    """Short chats, all of which begin with the same words and the same answer."""


LEVELS = (
    Level("distinct agents", alike=False),
    Level("one system prompt for all"),
    Level("retries and duplicates", failing=0.1, doubled=0.05),
    Level("cut and compacted histories", cut=0.1, compacted=0.08),
    Level("every run does the same", same_tasks=True, failing=0.05),
    Level("call ids repeat in every answer", same_tasks=True, bare_ids=True),
    Level("a third of prompts and results reworded", reworded=0.33, digested=0.33),
    Level(
        "all of it",
        failing=0.1,
        doubled=0.05,
        cut=0.1,
        compacted=0.08,
        same_tasks=True,
        bare_ids=True,
        reworded=0.33,
        digested=0.33,
    ),
)


@dataclass(frozen=True)
class Truth:
    """What a trace really is."""

    agent: int
    parent: int | None
    """The agent that started this one."""
    run: int


@dataclass
class Traffic:
    """Traces in the order of time, each with its truth."""

    traces: list[Trace] = field(default_factory=list[Trace])
    truth: dict[str, Truth] = field(default_factory=dict[str, Truth])


@dataclass
class _Agent:
    number: int
    parent: int | None
    run: int
    api: Api
    depth: int


class Stage:
    """Plays traffic of one level."""

    def __init__(self, level: Level, seed: int = 1) -> None:
        self._level = level
        self._rng = random.Random(f"{seed}/{level.name}")
        self._traffic = Traffic()
        self._agents = 0
        self._calls = 0

    def play(self) -> Traffic:
        """All of it."""
        level, rng = self._level, self._rng
        brief = self._text(30)
        for run in range(level.runs):
            agent = self._agent(None, run, rng.choice(("chat", "messages")), level.depth)
            self._run(agent, brief if level.same_tasks else self._text(30), rng.randrange(60) * SECOND)
        for _ in range(level.single):
            agent = self._agent(None, level.runs + self._agents, "chat", 0)
            self._ask(
                agent, [*self._system(), _said("user", self._text(20))], _said("assistant", self._text(8)), self._any()
            )
        for _ in range(level.chats):
            self._chat()
        self._traffic.traces.sort(key=lambda trace: (trace.at_ns, trace.trace_id))
        return self._traffic

    def _run(self, agent: _Agent, prompt: str, at: int) -> tuple[int, str]:
        """Let an agent work from `at` on: when it is done, and its last words."""
        rng = self._rng
        messages = [*self._system(), _said("user", prompt)]
        spawns = self._children(agent, prompt)
        while True:
            waves = spawns.pop(0) if spawns else None
            if waves is None and rng.random() < 0.35 and len(messages) > 3:
                final = _said("assistant", self._text(25))
                return self._ask(agent, messages, final, at), final["content"]
            calls = [self._call(prompt) for prompt in waves] if waves is not None else [self._tool()]
            answer = _said("assistant", rng.choice((None, self._text(12))), calls)
            at = self._ask(agent, messages, answer, at) + SECOND // 5
            messages = [*messages, answer]
            ends = [
                self._worked(agent, call, at) if waves is not None else (at + SECOND, self._text(40)) for call in calls
            ]
            messages += [
                {"role": "tool", "tool_call_id": c["id"], "content": text}
                for c, (_, text) in zip(calls, ends, strict=True)
            ]
            at = max(end for end, _ in ends) + rng.randrange(SECOND)
            at, messages = self._forgotten(agent, messages, at)

    def _children(self, agent: _Agent, prompt: str) -> list[list[str]]:
        """The prompts of the sub-agents that an agent will start, in the waves in which it does."""
        if agent.depth == 0:
            return []
        count = self._level.children if agent.parent is None else self._rng.choice((0, 0, 0, 0, 3))
        rng = random.Random(prompt) if self._level.same_tasks else self._rng
        prompts = [f"Part {part}: {' '.join(rng.choices(WORDS, k=25))}" for part in range(count)]
        cut = count // 3
        return [wave for wave in (prompts[:cut], prompts[cut:]) if wave]

    def _worked(self, agent: _Agent, call: dict[str, Any], at: int) -> tuple[int, str]:
        """Let the sub-agent of a call work: when its result is there, and the result."""
        level, rng = self._level, self._rng
        prompt = json.loads(call["function"]["arguments"])["prompt"]
        if rng.random() < level.reworded:
            prompt = self._text(25)
        child = self._agent(agent.number, agent.run, agent.api, agent.depth - 1)
        end, said = self._run(child, prompt, at + rng.randrange(2 * SECOND))
        return end, self._text(15) if rng.random() < level.digested else said

    def _forgotten(self, agent: _Agent, messages: list[Any], at: int) -> tuple[int, list[Any]]:
        """The history as it goes on: whole, cut, or summed up."""
        level, rng = self._level, self._rng
        if len(messages) > 6 and rng.random() < level.cut:
            last = max(place for place, message in enumerate(messages) if message["role"] == "assistant")
            return at, [*self._system(), _said("user", "(Earlier messages were left out.)"), *messages[last:]]
        if len(messages) > 6 and rng.random() < level.compacted:
            summary = _said("assistant", "\n".join(self._text(20) for _ in range(3)))
            at = self._ask(agent, [*messages, _said("user", "Sum up what was done so far.")], summary, at)
            note = f"This goes on from earlier work:\n{summary['content']}\nGo on from there."
            return at, [*self._system(), _said("user", note)]
        return at, messages

    def _ask(self, agent: _Agent, messages: list[Any], answer: dict[str, Any], at: int) -> int:
        """Send a request until it is answered: when it was."""
        level, rng = self._level, self._rng
        while rng.random() < level.failing:
            at = self._put(agent, messages, None, at) + SECOND
        if rng.random() < level.doubled:
            self._put(agent, messages, _said("assistant", self._text(9)), at + SECOND // 50)
        return self._put(agent, messages, answer, at)

    def _put(self, agent: _Agent, messages: list[Any], answer: dict[str, Any] | None, at: int) -> int:
        took = self._rng.randrange(SECOND // 2, 6 * SECOND)
        # Digits of a real id: the time, and then a number; the digits say nothing of the run.
        number = len(self._traffic.traces)
        trace = Trace(
            trace_id=f"tr_{START_NS + at:016x}{number:012x}",
            at_ns=START_NS + at,
            duration_us=took // 1000,
            api=agent.api,
            model="m",
            answered_by="up/m" if answer is not None else "",
            status=200 if answer is not None else 503,
            error=None if answer is not None else "upstream_error: overloaded",
            request=_request(agent.api, messages),
            response=_response(agent.api, answer),
        )
        self._traffic.traces.append(trace)
        self._traffic.truth[trace.trace_id] = Truth(agent.number, agent.parent, agent.run)
        return at + took

    def _chat(self) -> None:
        """A person and an assistant; the first words are everyone's."""
        agent = self._agent(None, self._level.runs + self._agents, "chat", 0)
        messages, answer, at = (
            [_said("user", "hi")],
            _said("assistant", "Hello! How can I help you today?"),
            self._any(),
        )
        for _ in range(self._rng.randrange(1, 4)):
            at = self._ask(agent, messages, answer, at) + self._rng.randrange(5, 90) * SECOND
            messages = [*messages, answer, _said("user", self._text(12))]
            answer = _said("assistant", self._text(20))

    def _agent(self, parent: int | None, run: int, api: Api, depth: int) -> _Agent:
        self._agents += 1
        return _Agent(self._agents, parent, run, api, depth)

    def _system(self) -> list[Any]:
        return [_said("system", SYSTEM if self._level.alike else f"{SYSTEM} {self._text(6)}")]

    def _call(self, prompt: str) -> dict[str, Any]:
        return self._numbered("start_agent", {"kind": "worker", "prompt": prompt})

    def _tool(self) -> dict[str, Any]:
        return self._numbered("look_up", {"words": self._text(3)})

    def _numbered(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self._calls += 1
        identity = f"call_{self._calls % 60}" if self._level.bare_ids else f"call_{self._rng.getrandbits(64):016x}"
        return {"id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}

    def _any(self) -> int:
        return self._rng.randrange(300 * SECOND)

    def _text(self, words: int) -> str:
        return " ".join(self._rng.choices(WORDS, k=words))


def _said(role: str, content: str | None, calls: list[Any] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role, "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _request(api: Api, messages: list[Any]) -> bytes:
    if api == "chat":
        return json.dumps({"model": "m", "messages": messages}).encode()
    system = [message["content"] for message in messages if message["role"] == "system"]
    turns: list[dict[str, Any]] = []
    for message in messages[len(system) :]:
        turn = _turn(message)
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += turn["content"]
        else:
            turns.append(turn)
    return json.dumps({"model": "m", "max_tokens": 100, "system": "\n".join(system), "messages": turns}).encode()


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
        return {"role": "user", "content": [result]}
    return {"role": message["role"], "content": _blocks(message)}


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls", ()):
        given = json.loads(call["function"]["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given})
    return blocks


def _response(api: Api, answer: dict[str, Any] | None) -> bytes:
    if answer is None:
        return b'{"error":{"message":"overloaded"}}'
    calls = answer.get("tool_calls")
    if api == "chat":
        choice = {"index": 0, "message": answer, "finish_reason": "tool_calls" if calls else "stop"}
        return json.dumps({"model": "m", "choices": [choice]}).encode()
    stop = "tool_use" if calls else "end_turn"
    return json.dumps({"model": "m", "content": _blocks(answer), "stop_reason": stop}).encode()
