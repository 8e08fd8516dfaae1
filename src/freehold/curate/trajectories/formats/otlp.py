"""A run as OpenTelemetry spans under the conventions for generative AI, in OTLP's JSON encoding.

A span `invoke_agent` for each agent, below the parent's or below the run of the tool that brought it about; a span
`chat` for each step, with what was said; a span `execute_tool` for each tool call whose result came back, from the end
of the answer that made the call to the request that brings the result. Ids are hashes of ours, so that the same run has
the same spans whenever it is exported. No key is among the attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

import msgspec

from freehold import __version__
from freehold.curate.trajectories.words import calls_of, function_of, parts_of
from freehold.domain import genai
from freehold.domain.episodes import AgentRun, Episode, Message, Step, Turn

if TYPE_CHECKING:
    from freehold.domain.traces import Api

INTERNAL, CLIENT = 1, 3
"""Kinds of spans, by OTLP's numbers."""
ERROR = 2
"""OTLP's code of a status."""
Span = dict[str, Any]


class _Call(msgspec.Struct, frozen=True):
    """A tool call whose result has not come yet."""

    name: str
    arguments: Any
    span_id: str
    start_ns: int


def otlp_document(episode: Episode, turns: Mapping[str, Turn], providers: Mapping[str, str]) -> dict[str, Any]:
    """The run as one `ExportTraceServiceRequest`, agents by time, then steps and tools by time.

    Args:
        episode: the run.
        turns: what was said in each step, by trace id; a step without a turn goes without content.
        providers: upstream → the provider's name in the conventions, where known.
    """
    writer = _Writer(episode, turns, providers)
    about = _attributes({"service.name": "freehold", "service.version": __version__})
    scope = {"name": "freehold.episodes", "version": __version__}
    spans = {"scope": scope, "spans": writer.spans(), "schemaUrl": genai.SCHEMA_URL}
    return {"resourceSpans": [{"resource": {"attributes": about}, "scopeSpans": [spans]}]}


class _Writer:
    def __init__(self, episode: Episode, turns: Mapping[str, Turn], providers: Mapping[str, str]) -> None:
        self._episode = episode
        self._turns = turns
        self._providers = providers
        self._trace_id = _hash("episode", episode.key or "", episode.episode_id)[:32]
        self._runs = {agent.run for agent in episode.agents}
        self._written: dict[int, str] = {}
        """Identity of a message → its JSON: histories hold the same messages again and again."""
        self._tools: dict[tuple[str, str], str] = {}
        """(agent, id of a tool call) → the span of the tool's run, so that an agent it brought about can be below."""

    def spans(self) -> list[Span]:
        below = {agent.run: self._steps(agent) for agent in self._episode.agents}
        found: list[Span] = []
        for agent in self._episode.agents:
            found += (self._agent(agent, below[agent.run]), *below[agent.run])
        return found

    def _agent(self, agent: AgentRun, below: list[Span]) -> Span:
        start = min(int(span["startTimeUnixNano"]) for span in below)
        end = max(int(span["endTimeUnixNano"]) for span in below)
        parent = None
        if agent.parent in self._runs:
            tool = self._tools.get((agent.parent, agent.tool_call or ""))
            parent = tool or self._agent_id(agent.parent)
        said = {genai.OPERATION: genai.INVOKE_AGENT, genai.AGENT_NAME: agent.run}
        said |= {genai.CONVERSATION: self._episode.episode_id, "freehold.parent": agent.parent_step or agent.parent}
        return self._span(
            f"{genai.INVOKE_AGENT} {agent.run}", INTERNAL, self._agent_id(agent.run), parent, start, end, said
        )

    def _steps(self, agent: AgentRun) -> list[Span]:
        """The spans of the agent's steps, and of the tools that ran between them, by time of their start."""
        waiting: dict[str, _Call] = {}
        found: list[Span] = []
        for step in sorted(agent.steps, key=lambda step: (step.at_ns, step.trace_id)):
            turn = self._turns.get(step.trace_id)
            found.append(self._step(step, agent, turn))
            if turn is not None:
                found += self._ran(agent, step, turn, waiting)
                waiting |= dict(self._called(agent, step, turn))
        return sorted(found, key=lambda span: (int(span["startTimeUnixNano"]), span["spanId"]))

    def _called(self, agent: AgentRun, step: Step, turn: Turn) -> Iterator[tuple[str, _Call]]:
        for number, call in enumerate(calls_of(turn.answer) if turn.answer is not None else ()):
            name, arguments = function_of(call)
            span_id = _hash("tool", agent.run, step.trace_id, str(number))[:16]
            yield str(call.get("id") or number), _Call(name, arguments, span_id, _end(step))

    def _ran(self, agent: AgentRun, step: Step, turn: Turn, waiting: dict[str, _Call]) -> Iterator[Span]:
        for message in turn.messages:
            identity = str(message.get("tool_call_id") or "")
            call = waiting.pop(identity, None) if message.get("role") == "tool" else None
            if call is None:
                continue
            self._tools[agent.run, identity] = call.span_id
            said = {
                genai.OPERATION: genai.EXECUTE_TOOL,
                genai.AGENT_NAME: agent.run,
                genai.CONVERSATION: self._episode.episode_id,
                genai.TOOL_NAME: call.name,
                genai.TOOL_TYPE: "function",
                genai.TOOL_CALL_ID: identity,
                genai.TOOL_CALL_ARGUMENTS: _json(call.arguments),
                genai.TOOL_CALL_RESULT: _as_text(message.get("content")),
            }
            name = f"{genai.EXECUTE_TOOL} {call.name}"
            end = max(step.at_ns, call.start_ns)
            yield self._span(name, INTERNAL, call.span_id, self._agent_id(agent.run), call.start_ns, end, said)

    def _step(self, step: Step, agent: AgentRun, turn: Turn | None) -> Span:
        upstream, _, model = step.answered_by.partition("/")
        operation = genai.OPERATIONS.get(cast("Api", step.api), step.api)
        said: dict[str, Any] = {
            genai.OPERATION: operation,
            genai.PROVIDER: self._providers.get(upstream, upstream or "freehold"),
            genai.AGENT_NAME: agent.run,
            genai.CONVERSATION: self._episode.episode_id,
            genai.REQUEST_MODEL: step.model or None,
            genai.RESPONSE_MODEL: model or None,
            genai.FINISH_REASONS: [step.finish_reason] if step.finish_reason else None,
            genai.HTTP_STATUS: step.status,
            genai.ERROR_TYPE: _error_type(step),
            "freehold.trace_id": step.trace_id,
            "freehold.answered_by": step.answered_by,
            "freehold.parent": agent.parent_step or agent.parent,
        }
        if step.tokens_source:
            said |= {genai.INPUT_TOKENS: step.input_tokens, genai.OUTPUT_TOKENS: step.output_tokens}
        if turn is not None:
            said |= self._content(turn, step)
        name = f"{operation} {step.model}".strip()
        span_id = _hash("step", step.trace_id)[:16]
        return self._span(name, CLIENT, span_id, self._agent_id(agent.run), step.at_ns, _end(step), said)

    def _content(self, turn: Turn, step: Step) -> dict[str, Any]:
        """What was said, as the conventions shape it (JSON text)."""
        found: dict[str, Any] = {genai.INPUT_MESSAGES: f"[{','.join(map(self._message, turn.messages))}]"}
        if turn.answer is not None:
            answer = {"role": "assistant", "parts": _parts(turn.answer), "finish_reason": step.finish_reason or "error"}
            found[genai.OUTPUT_MESSAGES] = _json([answer])
        if turn.tools:
            found[genai.TOOL_DEFINITIONS] = _json(turn.tools)
        return found

    def _message(self, message: Message) -> str:
        written = self._written.get(id(message))
        if written is None:
            written = _json({"role": message.get("role"), "parts": _parts(message)})
            self._written[id(message)] = written
        return written

    def _agent_id(self, run: str) -> str:
        return _hash("agent", self._episode.key or "", self._episode.episode_id, run)[:16]

    def _span(
        self, name: str, kind: int, span_id: str, parent: str | None, start: int, end: int, said: Mapping[str, Any]
    ) -> Span:
        span: Span = {"traceId": self._trace_id, "spanId": span_id}
        if parent is not None:
            span["parentSpanId"] = parent
        span |= {"name": name, "kind": kind, "startTimeUnixNano": str(start), "endTimeUnixNano": str(end)}
        span |= {"attributes": _attributes(said), "status": {"code": ERROR} if said.get(genai.ERROR_TYPE) else {}}
        return span


def _parts(message: Message) -> list[dict[str, Any]]:
    if message.get("role") == "tool":
        result = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message.get("content")}
        return [result]
    thought = message.get("reasoning_content")
    parts: list[dict[str, Any]] = [{"type": "reasoning", "content": thought}] if thought else []
    parts += (
        {"type": "text", "content": part["text"]} if part.get("type") == "text" else part for part in parts_of(message)
    )
    for call in calls_of(message):
        name, arguments = function_of(call)
        parts.append({"type": "tool_call", "id": call.get("id"), "name": name, "arguments": arguments})
    return parts


def _error_type(step: Step) -> str | None:
    if step.error is not None:
        return step.error.partition(":")[0]
    return str(step.status) if step.status >= 400 else None


def _end(step: Step) -> int:
    return step.at_ns + step.duration_us * 1000


def _attributes(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in said.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    """OTLP's JSON of a value: whole numbers are text, for they may be longer than JSON's."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}  # pyright: ignore[reportUnknownVariableType]
    return {"stringValue": str(value)}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _hash(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()
