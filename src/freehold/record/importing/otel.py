"""OpenTelemetry spans of models: OTLP in JSON (one document, or one per line) or protobuf, with their log records.

Source: see `otlp` (the encoding) and `genai`, `openinference` (what spans say). JSON lines are what the collector's
file exporter writes; spans as OpenTelemetry's console exporter prints them are read too. Spans and log records may be
in several files, so long as they are imported together; in one file, log records come before their span, as they do
when they are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from freehold.domain.errors import RowError
from freehold.record.importing import genai, openinference, otlp
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.spans import Event, Family, Span
from freehold.record.importing.values import Row, object_of, objects_of, said, text_of, time_ns

AGENT_NAMES = (*genai.AGENT_NAMES, *openinference.AGENT_NAMES)


def _role(row: Row) -> str | None:
    if "resourceLogs" in row:
        return "logs"
    if "resourceSpans" in row:
        return "spans"
    context = object_of(row.get("context"))
    return "printed" if context.get("span_id") and "attributes" in row and "start_time" in row else None


def _read(role: str, row: Row, shelf: Shelf) -> Iterator[Read]:
    if role == "logs":
        for trace, span, event in otlp.logs_of(row):
            put_event(shelf, f"{trace}-{span}", event)
        return
    spans = [_printed(row)] if role == "printed" else list(otlp.spans_of(row))
    family = Family(spans, AGENT_NAMES)
    for span in spans:
        found = exchange_of(with_events(span, shelf), family)
        if found is not None:
            yield found


def is_exchange(span: Span) -> bool:
    """Whether a span is one of a model's answer."""
    return genai.is_exchange(span) or said(span.attributes.get(openinference.KIND)).upper() == "LLM"


def has_content(span: Span) -> bool:
    """Whether the span brings its messages itself."""
    return openinference.KIND in span.attributes or genai.has_content(span)


def exchange_of(span: Span, family: Family) -> Exchange | None:
    """The exchange of a span, by the conventions that it follows; None if it is none.

    Raises:
        RowError: by OpenInference's conventions it is one, but holds no prompt or no answer.
    """
    if said(span.attributes.get(openinference.KIND)).upper() == "LLM":
        return openinference.exchange_of(span, family)
    return genai.exchange_of(span, family) if genai.is_exchange(span) else None


def put_event(shelf: Shelf, own_id: str, event: Event) -> None:
    """Put a log record aside until its span comes; the same one again changes nothing."""
    kept = shelf.get("events", own_id) or {"events": []}
    made: Row = {"name": event.name, "attributes": event.attributes, "body": event.body, "at_ns": event.at_ns}
    if made not in kept["events"]:
        shelf.put("events", own_id, {"events": [*kept["events"], made]})


def with_events(span: Span, shelf: Shelf) -> Span:
    """The span with the log records that were put aside for it."""
    kept = objects_of((shelf.get("events", span.own_id) or {}).get("events"))
    if not kept:
        return span
    events = [Event(item["name"], item["attributes"], item["body"], item["at_ns"]) for item in kept]
    return replace(span, events=(*span.events, *events))


def _printed(row: Row) -> Span:
    context = object_of(row.get("context"))
    trace, span = (text_of(context, name).removeprefix("0x") for name in ("trace_id", "span_id"))
    if not trace or not span:
        raise RowError("A span has no trace id or span id.", "Export it again.")
    return Span(
        trace_id=trace,
        span_id=span,
        parent_id=text_of(row, "parent_id").removeprefix("0x"),
        name=text_of(row, "name"),
        start_ns=time_ns(row.get("start_time")),
        end_ns=time_ns(row.get("end_time")),
        failed=text_of(object_of(row.get("status")), "status_code") == "ERROR",
        attributes=object_of(row.get("attributes")),
        events=tuple(
            Event(text_of(item, "name"), object_of(item.get("attributes")), at_ns=time_ns(item.get("timestamp")))
            for item in objects_of(row.get("events"))
        ),
    )


def _whole(body: bytes) -> Row:
    """A file of protobuf: traces, or else logs."""
    found = otlp.of_protobuf(body, "traces")
    first = next(otlp.spans_of(found), None)
    return found if first is not None else otlp.of_protobuf(body, "logs")


FORMAT = Format(
    "otel",
    "OpenTelemetry GenAI spans (OTLP JSON, JSONL or protobuf)",
    ("logs", "spans", "printed"),
    _role,
    _read,
    protobuf=_whole,
    suffixes=(".pb", ".binpb", ".otlp", ".bin"),
)
