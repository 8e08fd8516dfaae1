"""Spans of OpenTelemetry's conventions for generative AI, in every form that their versions gave to messages. Pure.

Source: open-telemetry/semantic-conventions-genai (status Development) and the older documents in open-telemetry/
semantic-conventions; the packages opentelemetry-util-genai 1.3b0 (parts of messages) and
opentelemetry-instrumentation-openai-v2 2.4b0 (events). Messages come

- as attributes `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions` (since 1.37), of the
  span or of an event `gen_ai.client.inference.operation.details`;
- as events `gen_ai.{system,user,assistant,tool}.message` and `gen_ai.choice` (1.28 to 1.36), log records or events of
  the span;
- as the events `gen_ai.content.prompt` and `gen_ai.content.completion` of a span (up to 1.27);
- as numbered attributes `gen_ai.prompt.0.content` (OpenLLMetry).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from freehold.domain.genai import AGENT_NAME, ERROR_TYPE, OPERATION, REQUEST_MODEL
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.spans import Event, Family, Span, at, nested
from freehold.record.importing.values import Row, count_of, list_of, object_of, objects_of, opened, said, text_of

AGENT_NAMES = (AGENT_NAME, "agent.name")
_OPERATIONS = frozenset(("chat", "generate_content", "text_completion", "completion"))
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_TURNS = ("system", "user", "assistant", "tool")
_PARAMETERS = {"choice.count": "n", "stop_sequences": "stop"}
"""Names after `gen_ai.request.` that OpenAI's field has another name for."""


def is_exchange(span: Span) -> bool:
    """Whether a span is that of a model's answer by these conventions."""
    operation = said(span.attributes.get(OPERATION) or span.attributes.get("llm.request.type"))
    if operation:
        return operation in _OPERATIONS
    return REQUEST_MODEL in span.attributes and not any("embedding" in name for name in span.attributes)


def has_content(span: Span) -> bool:
    """Whether the span itself brings its messages, so that there is nothing to wait for."""
    asked, answer, _ = _content(span, object_of(nested(span.attributes).get("gen_ai")))
    return bool(asked and (answer or span.failed))


def exchange_of(span: Span, family: Family) -> Exchange:
    """The exchange of a span. One without messages is one all the same: who answered, when, for how many tokens."""
    gen_ai = object_of(nested(span.attributes).get("gen_ai"))
    asked, answer, finish = _content(span, gen_ai)
    agents = family.agents(span)
    model = said(at(gen_ai, "request", "model"))
    answered = said(at(gen_ai, "response", "model")) or model
    failure = span.failed or bool(span.attributes.get(ERROR_TYPE))
    return Exchange(
        request={"messages": asked, **_parameters(gen_ai)},
        response=None if failure and answer is None else _completion(gen_ai, answer, finish, answered),
        own_id=span.own_id,
        at_ns=span.start_ns,
        model=model,
        answered=answered,
        provider=said(at(gen_ai, "provider", "name")) or said(gen_ai.get("system")),
        status=500 if failure else 200,
        error=f"otel: {said(span.attributes.get('error.type')) or 'error'}" if failure else None,
        episode=said(at(gen_ai, "conversation", "id")) or span.trace_id,
        agent=agents[0] if agents else None,
        parent=agents[1] if len(agents) > 1 else None,
        parent_is_agent=True,
        subject=said(span.attributes.get("enduser.id") or span.attributes.get("user.id")),
        duration_us=(span.end_ns - span.start_ns) // 1000 if span.end_ns > span.start_ns else 0,
        traceparent=span.own_id,
    )


def _content(span: Span, gen_ai: Row) -> tuple[list[Row], Row | None, str]:
    """The messages asked with, the answer, and why it ended."""
    details = [event.attributes | event.body for event in span.events if event.name == _DETAILS]
    for given in (gen_ai, *(object_of(nested(item).get("gen_ai")) for item in details)):
        found = _of_attributes(given)
        if found[0] or found[1] is not None:
            return found
    return _of_events(span.events)


def _of_attributes(gen_ai: Row) -> tuple[list[Row], Row | None, str]:
    asked = [turn for item in objects_of(at(gen_ai, "input", "messages")) for turn in _turns(item)]
    system = at(gen_ai, "system_instructions")
    if system:
        text = "\n".join(said(part.get("content")) for part in objects_of(system)) or said(system)
        asked = [{"role": "system", "content": text}, *asked]
    output = objects_of(at(gen_ai, "output", "messages"))
    if asked or output:
        answer = next((_turns(item)[-1] for item in output[:1]), None)
        return asked, answer and {**answer, "role": "assistant"}, text_of(output[0], "finish_reason") if output else ""
    prompt, said_so = objects_of(gen_ai.get("prompt")), objects_of(gen_ai.get("completion"))
    answer = _plain(said_so[0], "assistant") if said_so else None
    return [_plain(item, "user") for item in prompt], answer, text_of(said_so[0], "finish_reason") if said_so else ""


def _of_events(events: Iterable[Event]) -> tuple[list[Row], Row | None, str]:
    asked: list[Row] = []
    answer: Row | None = None
    finish = ""
    for event in sorted(events, key=lambda event: event.at_ns):
        given = {**event.attributes, **event.body}
        role = event.name.removeprefix("gen_ai.").removesuffix(".message")
        if role in _TURNS and event.name.endswith(".message"):
            asked.append(_plain(given, role))
        elif event.name == _CHOICE and answer is None:
            finish = text_of(given, "finish_reason")
            answer = _plain(object_of(given.get("message")) or given, "assistant")
        elif event.name == "gen_ai.content.prompt":
            asked += [_plain(item, "user") for item in _listed(given.get("gen_ai.prompt"))]
        elif event.name == "gen_ai.content.completion" and answer is None:
            found = _listed(given.get("gen_ai.completion"))
            answer = _plain(found[0], "assistant") if found else None
    return asked, answer, finish


def _listed(value: Any) -> list[Row]:
    found = opened(value)
    if isinstance(found, str) and found:
        return [{"content": found}]
    return objects_of(found) or ([object_of(found)] if object_of(found) else [])


def _turns(item: Row) -> list[Row]:
    """The messages of one message with parts: results of tools are messages of their own."""
    texts: list[str] = []
    others: list[Row] = []
    calls: list[Row] = []
    results: list[Row] = []
    for part in objects_of(item.get("parts")):
        match text_of(part, "type"):
            case "text":
                texts.append(said(part.get("content")))
            case "tool_call":
                calls.append(chat.tool_call(said(part.get("id")), text_of(part, "name"), part.get("arguments")))
            case "tool_call_response":
                result = said(part.get("response", part.get("result")))
                results.append({"role": "tool", "tool_call_id": said(part.get("id")), "content": result})
            case "reasoning":
                pass
            case _:
                others.append(part)
    if not item.get("parts"):
        return [_plain(item, "user")]
    if results:
        return results
    role = text_of(item, "role") or "user"
    content: Any = "".join(texts) if not others else [*({"type": "text", "text": text} for text in texts), *others]
    made: Row = {"role": chat.ROLES.get(role, role), "content": content or (None if calls else "")}
    return [{**made, "tool_calls": calls} if calls else made]


def _plain(given: Row, role: str) -> Row:
    """A message with its content as text or JSON, whatever else stands beside it."""
    content = opened(given.get("content"))
    if isinstance(content, dict):
        content = said(content)
    made: Row = {"role": text_of(given, "role") or role, "content": content}
    calls = [_call(call) for call in objects_of(given.get("tool_calls"))]
    if calls:
        made["tool_calls"] = calls
    if made["role"] == "tool":
        made["tool_call_id"] = text_of(given, "id", "tool_call_id")
    return chat.chat_messages([made])[0]


def _call(given: Row) -> Row:
    function = object_of(given.get("function")) or given
    return chat.tool_call(text_of(given, "id"), text_of(function, "name"), function.get("arguments"))


def _parameters(gen_ai: Row) -> Row:
    asked = object_of(gen_ai.get("request"))
    found = {_PARAMETERS.get(name, name): value for name, value in asked.items()}
    count = at(asked, "choice", "count")
    if count:
        found["n"] = count
    tools = [_tool(item) for item in objects_of(at(gen_ai, "tool", "definitions"))]
    return chat.parameters({**found, "tools": tools} if tools else found)


def _tool(item: Row) -> Row:
    if "function" in item:
        return item
    return {"type": "function", "function": {name: value for name, value in item.items() if name != "type"}}


def _completion(gen_ai: Row, answer: Row | None, finish: str, model: str) -> Row:
    counts = object_of(gen_ai.get("usage"))
    given = count_of(counts, "input_tokens", "prompt_tokens")
    output = count_of(counts, "output_tokens", "completion_tokens")
    cached = count_of(object_of(counts.get("cache_read")), "input_tokens") or 0
    reasons = list_of(at(gen_ai, "response", "finish_reasons"))
    return chat.completion(
        answer,
        model=model,
        finish=finish or (said(reasons[0]) if reasons else ""),
        used=chat.usage(given, output, cached),
        response_id=said(at(gen_ai, "response", "id")),
    )
