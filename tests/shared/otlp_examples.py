"""Spans and log records of GenAI calls, in the shapes that OpenTelemetry instrumentations write."""

from __future__ import annotations

import json
from typing import Any

Row = dict[str, Any]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def encoded(value: Any) -> Row:
    """A value as OTLP's JSON encoding has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [encoded(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": encoded(item)} for key, item in value.items()]}}
    return {"stringValue": value}


def attributes_of(values: Row) -> list[Row]:
    """Attributes as OTLP's JSON encoding has them."""
    return [{"key": key, "value": encoded(value)} for key, value in values.items()]


def span_document(attributes: Row, span_id: str = SPAN, parent: str = "", events: list[Row] | None = None) -> Row:
    """A document of one span."""
    span: Row = {
        "traceId": TRACE,
        "spanId": span_id,
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000001000000000",
        "attributes": attributes_of(attributes),
        "events": events or [],
        "status": {},
    }
    if parent:
        span["parentSpanId"] = parent
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": [span]}]}]}


def logs_document(records: list[tuple[str, Row]], span_id: str = SPAN) -> Row:
    """A document of log records (event name, body) that belong to a span."""
    made = [
        {
            "timeUnixNano": str(1_760_000_000_000_000_000 + number),
            "eventName": name,
            "body": encoded(body),
            "attributes": [],
            "traceId": TRACE,
            "spanId": span_id,
        }
        for number, (name, body) in enumerate(records)
    ]
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": made}]}]}


GEN_AI: Row = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-77",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 21,
    "gen_ai.usage.output_tokens": 2,
    "gen_ai.agent.name": "sorter",
}
"""What a span says without its messages."""
GEN_AI_MESSAGES: Row = {
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Sort the mail."}]),
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "delivery"}], "finish_reason": "stop"}]
    ),
}
GEN_AI_NUMBERED: Row = {
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Sort the mail.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Where is my parcel?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "delivery",
    "gen_ai.completion.0.finish_reason": "stop",
}
GEN_AI_RECORDS: list[tuple[str, Row]] = [
    ("gen_ai.system.message", {"content": "Sort the mail."}),
    ("gen_ai.user.message", {"content": "Where is my parcel?"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "delivery"}}),
]
