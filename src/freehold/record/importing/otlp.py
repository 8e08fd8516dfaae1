"""OTLP documents (JSON or protobuf) into spans and log records. Pure.

Source: opentelemetry-proto 1.x, `opentelemetry/proto/trace/v1/trace.proto`, `logs/v1/logs.proto`, and the OTLP
specification's "JSON Protobuf Encoding": camel case, hexadecimal ids, 64-bit integers as text. Protobuf needs the
package opentelemetry-proto, which comes with `freehold[otel]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal, cast

from freehold.domain.errors import ConfigError, RowError
from freehold.record.importing.spans import Event, Span
from freehold.record.importing.values import Row, object_of, objects_of, text_of, time_ns

Signal = Literal["traces", "logs"]
_MAX_DEPTH = 32
_MESSAGES = {
    "traces": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "logs": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
}
_IDS = ("trace_id", "span_id", "parent_span_id")


def of_protobuf(body: bytes, signal: Signal) -> Row:
    """A protobuf document as the JSON encoding has it.

    Raises:
        RowError: it is none.
        ConfigError: the package opentelemetry-proto is not installed.
    """
    module, name = _MESSAGES[signal]
    try:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError

        message = getattr(import_module(module), name)()
    except ImportError as error:
        raise ConfigError(
            "OTLP in protobuf cannot be read here: the package opentelemetry-proto is not installed.",
            "Install freehold[otel], or send JSON (OTEL_EXPORTER_OTLP_PROTOCOL=http/json).",
        ) from error
    try:
        message.ParseFromString(body)
    except (DecodeError, RecursionError) as error:
        raise RowError("It is no OTLP in protobuf.", "Export it again.") from error
    return MessageToDict(message)


def each_span(document: Row) -> Iterator[Span | RowError]:
    """The spans in a document of traces, GenAI or not; what is wrong with one in its place."""
    for resource in objects_of(document.get("resourceSpans")):
        for scope in objects_of(resource.get("scopeSpans")):
            for span in objects_of(scope.get("spans")):
                try:
                    yield _span(span)
                except RowError as error:
                    yield error


def spans_of(document: Row) -> Iterator[Span]:
    """The spans in a document of traces, GenAI or not.

    Raises:
        RowError: one of them is none.
    """
    for found in each_span(document):
        if isinstance(found, RowError):
            raise found
        yield found


def logs_of(document: Row) -> Iterator[tuple[str, str, Event]]:
    """(trace id, span id, event) of the log records in a document that belong to a span."""
    for resource in objects_of(document.get("resourceLogs")):
        for scope in objects_of(resource.get("scopeLogs")):
            for record in objects_of(scope.get("logRecords")):
                trace, span = _hexadecimal(record, "traceId", 16), _hexadecimal(record, "spanId", 8)
                if trace and span:
                    yield trace, span, _log(record)


def _span(row: Row) -> Span:
    events = tuple(
        Event(text_of(item, "name"), _attributes(item), at_ns=time_ns(item.get("timeUnixNano")))
        for item in objects_of(row.get("events"))
    )
    trace, span = _hexadecimal(row, "traceId", 16), _hexadecimal(row, "spanId", 8)
    if not trace or not span:
        raise RowError("A span has no valid trace id or span id.", "Export it again.")
    return Span(
        trace_id=trace,
        span_id=span,
        parent_id=_hexadecimal(row, "parentSpanId", 8),
        name=text_of(row, "name"),
        start_ns=time_ns(row.get("startTimeUnixNano")),
        end_ns=time_ns(row.get("endTimeUnixNano")),
        failed=object_of(row.get("status")).get("code") in (2, "STATUS_CODE_ERROR"),
        attributes=_attributes(row),
        events=events,
    )


def _log(record: Row) -> Event:
    attributes = _attributes(record)
    body = _value(record.get("body"))
    name = text_of(record, "eventName") or text_of(attributes, "event.name")
    stamp = time_ns(record.get("timeUnixNano")) or time_ns(record.get("observedTimeUnixNano"))
    return Event(name, attributes, cast("Row", body) if isinstance(body, dict) else Row(), stamp)


def _hexadecimal(row: Row, name: str, size: int) -> str:
    """An id; protobuf's own JSON has it in base 64, as Python's library writes it."""
    found = text_of(row, name).lower().removeprefix("0x")
    if len(found) == 2 * size and all(digit in "0123456789abcdef" for digit in found):
        return found if found.strip("0") else ""
    return _of_base64(text_of(row, name), size)


def _of_base64(text: str, size: int) -> str:
    import base64
    import binascii

    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return found.hex() if len(found) == size and any(found) else ""


def _attributes(row: Row) -> Row:
    return {text_of(item, "key"): _value(item.get("value")) for item in objects_of(row.get("attributes"))}


def _value(given: Any, depth: int = 0) -> Any:
    value = object_of(given)
    if depth > _MAX_DEPTH:
        raise RowError("An attribute is nested too deeply.", "Flatten it.")
    if "stringValue" in value or "boolValue" in value:
        return value.get("stringValue", value.get("boolValue"))
    if "intValue" in value:
        return int(value["intValue"]) if str(value["intValue"]).lstrip("-").isdecimal() else None
    if "doubleValue" in value:
        return value["doubleValue"]
    if "arrayValue" in value:
        return [_value(item, depth + 1) for item in objects_of(object_of(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        items = objects_of(object_of(value["kvlistValue"]).get("values"))
        return {text_of(item, "key"): _value(item.get("value"), depth + 1) for item in items}
    return None
