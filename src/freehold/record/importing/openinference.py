"""OpenInference's spans of models, as Phoenix exports them (a data frame as Parquet, or JSON), or as they are sent.

Source: the package openinference-semantic-conventions 0.1.42 (`openinference/semconv/trace/__init__.py`), and the
columns of a Phoenix data frame of spans (`context.span_id`, `context.trace_id`, `parent_id`, `start_time`,
`attributes.…`) and fields of its spans as JSON (`context`, `attributes`) by arize-phoenix-client 3.5.0. Spans of other
kinds (chains, tools, retrievers) are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.spans import Family, Span, at, nested
from freehold.record.importing.values import Row, count_of, object_of, objects_of, opened, said, text_of, time_ns

KIND = "openinference.span.kind"
AGENT_NAMES = ("agent.name", "graph.node.id")


def _role(row: Row) -> str | None:
    if "context.span_id" in row and any(name.startswith("attributes.") for name in row):
        return "frame"
    attributes = object_of(row.get("attributes"))
    context = object_of(row.get("context"))
    kinds = KIND in attributes or at(attributes, "openinference", "span", "kind") or "span_kind" in row
    return "span" if context.get("span_id") and kinds else None


def _read(role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    span = _of_frame(row) if role == "frame" else _of_json(row)
    kind = text_of(row, "span_kind").upper() or said(at(nested(span.attributes), *KIND.split("."))).upper()
    if kind == "LLM":
        yield exchange_of(span, Family((span,), AGENT_NAMES))


def _of_frame(row: Row) -> Span:
    attributes = {name.removeprefix("attributes."): value for name, value in row.items() if value is not None}
    return _span(row, text_of(row, "context.trace_id"), text_of(row, "context.span_id"), attributes)


def _of_json(row: Row) -> Span:
    context = object_of(row.get("context"))
    return _span(row, text_of(context, "trace_id"), text_of(context, "span_id"), object_of(row.get("attributes")))


def _span(row: Row, trace_id: str, span_id: str, attributes: Row) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=text_of(row, "parent_id"),
        start_ns=time_ns(row.get("start_time")),
        end_ns=time_ns(row.get("end_time")),
        failed=text_of(row, "status_code").upper() == "ERROR",
        attributes=attributes,
    )


def exchange_of(span: Span, family: Family) -> Exchange:
    """The exchange of a span of kind LLM.

    Raises:
        RowError: it holds no prompt, or no answer though it did not fail.
    """
    tree = nested(span.attributes)
    llm = object_of(tree.get("llm"))
    asked = [_message(item) for item in objects_of(llm.get("input_messages"))] or _plain(tree, "input", "user")
    answer = [_message(item) for item in objects_of(llm.get("output_messages"))] or _plain(tree, "output", "assistant")
    if not asked:
        raise RowError("It holds no prompt: neither llm.input_messages nor input.value.", "Record inputs too.")
    if not answer and not span.failed:
        raise RowError("It holds no answer: neither llm.output_messages nor output.value.", "Record outputs too.")
    agents = family.agents(span)
    model = said(at(llm, "request", "model_name")) or text_of(llm, "model_name")
    answered = said(at(llm, "response", "model_name")) or model
    return Exchange(
        request={"messages": asked, **_parameters(llm)},
        response=None if not answer else _completion(llm, answer[-1], answered),
        own_id=span.own_id,
        at_ns=span.start_ns,
        model=model,
        answered=answered,
        provider=text_of(llm, "provider", "system"),
        status=500 if span.failed else 200,
        error="openinference: error" if span.failed else None,
        episode=span.trace_id,
        agent=agents[0] if agents else None,
        parent=agents[1] if len(agents) > 1 else None,
        parent_is_agent=True,
        subject=said(at(tree, "user", "id")),
        duration_us=(span.end_ns - span.start_ns) // 1000 if span.end_ns > span.start_ns else 0,
        traceparent=span.own_id,
    )


def _message(item: Row) -> Row:
    given = object_of(item.get("message")) or item
    made: Row = {"role": text_of(given, "role") or "user", "content": given.get("content")}
    if made["content"] is None:
        made["content"] = _contents(given) or None
    calls = [_call(object_of(call.get("tool_call")) or call) for call in objects_of(given.get("tool_calls"))]
    if calls:
        made["tool_calls"] = calls
    if text_of(given, "tool_call_id"):
        made["tool_call_id"] = given["tool_call_id"]
    return chat.chat_messages([made])[0]


def _contents(given: Row) -> str | list[Row]:
    parts = [object_of(part.get("message_content")) or part for part in objects_of(given.get("contents"))]
    if all(text_of(part, "type") == "text" for part in parts):
        return "".join(text_of(part, "text") for part in parts)
    return parts


def _call(given: Row) -> Row:
    function = object_of(given.get("function"))
    return chat.tool_call(text_of(given, "id"), text_of(function, "name"), function.get("arguments"))


def _plain(tree: Row, side: str, role: str) -> list[Row]:
    value = opened(at(tree, side, "value"))
    if isinstance(value, dict):
        row = cast("Row", value)
        if objects_of(row.get("messages")):
            return chat.chat_messages(row["messages"])
        message = chat.answer_message(row) if role == "assistant" else None
        return [message] if message else [{"role": role, "content": said(row)}]
    return [{"role": role, "content": said(value)}] if value else []


def _parameters(llm: Row) -> Row:
    given = object_of(llm.get("invocation_parameters"))
    tools: list[Any] = []
    for item in objects_of(llm.get("tools")):
        schema = at(item, "tool", "json_schema")
        tools += [opened(schema)] if schema else []
    return chat.parameters({**given, "tools": tools} if tools else given)


def _completion(llm: Row, message: Row, model: str) -> Row:
    counts = object_of(llm.get("token_count"))
    cached = count_of(object_of(counts.get("prompt_details")), "cache_read") or 0
    used = chat.usage(count_of(counts, "prompt"), count_of(counts, "completion"), cached)
    return chat.completion(message, model=model, finish=text_of(llm, "finish_reason"), used=used)


FORMAT = Format("openinference", "Phoenix / OpenInference spans", ("frame", "span"), _role, _read)
