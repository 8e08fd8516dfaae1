"""Langfuse: generations, traces with what belongs to them, and scores; of its API or of its exports.

Source: the package langfuse 5.0.4, `langfuse/api/commons/types/` (`observation_v2.py`, `base_score.py` and the kinds
of scores), whose fields are in camel case on the wire and in snake case in Python; both are read. Pages of the API
(`{"data": […], "meta": …}`) are read as they are. An episode is a trace of Langfuse's; a score of a trace is one of the
episode. Scores of whole sessions are rejected: a session is many episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import (
    Row,
    count_of,
    number_of,
    object_of,
    objects_of,
    opened,
    said,
    text_of,
    time_ns,
)


def _role(row: Row) -> str | None:
    if isinstance(row.get("data"), list) and "meta" in row:
        first = next(iter(objects_of(row["data"])), None)
        return "page" if first is None or _role(first) else None
    if ("traceId" in row or "trace_id" in row) and "type" in row and ("startTime" in row or "start_time" in row):
        return "observation"
    if ("dataType" in row or "data_type" in row) and "name" in row and ("value" in row or "stringValue" in row):
        return "score"
    both = "observations" in row or "htmlPath" in row or "html_path" in row
    return "trace" if both and "id" in row and "timestamp" in row else None


def _read(role: str, row: Row, shelf: Shelf) -> Iterator[Read]:
    match role:
        case "page":
            for item in objects_of(row["data"]):
                kind = _role(item)
                if kind is None:
                    raise RowError("A page holds what is neither observation, trace nor score.", "Export it again.")
                yield from _read(kind, item, shelf)
        case "trace":
            yield from _trace(row, shelf)
        case "score":
            yield _score(row)
        case _:
            if text_of(row, "type").upper() == "GENERATION":
                yield _generation(row, shelf)


def _trace(row: Row, shelf: Shelf) -> Iterator[Read]:
    trace = text_of(row, "id")
    shelf.put("trace", trace, {"user": text_of(row, "userId", "user_id")})
    for item in objects_of(row.get("observations")):
        if text_of(item, "type").upper() == "GENERATION":
            yield _generation({"traceId": trace, **item}, shelf)
    for item in objects_of(row.get("scores")):
        yield _score({"traceId": trace, **item})


def _generation(row: Row, shelf: Shelf) -> Exchange:
    trace, model = text_of(row, "traceId", "trace_id"), text_of(row, "model", "providedModelName")
    begun = time_ns(row.get("startTime", row.get("start_time")))
    ended = time_ns(row.get("endTime", row.get("end_time")))
    first = time_ns(row.get("completionStartTime", row.get("completion_start_time")))
    failed = text_of(row, "level").upper() == "ERROR"
    message = None if failed else chat.answer_message(row.get("output"))
    if message is None and not failed:
        raise RowError("It holds no output.", "Export generations with their input and output.")
    user = text_of(row, "userId", "user_id") or text_of(shelf.get("trace", trace) or {}, "user")
    return Exchange(
        request=_request(row),
        response=message and _completion(row, message, model),
        own_id=text_of(row, "id"),
        at_ns=begun,
        model=model,
        status=500 if failed else 200,
        error="langfuse: error" if failed else None,
        episode=trace,
        subject=user,
        first_byte_us=(first - begun) // 1000 if first > begun else 0,
        duration_us=(ended - begun) // 1000 if ended > begun else 0,
    )


def _request(row: Row) -> Row:
    given = opened(row.get("input"))
    sent: Mapping[str, Any] = {}
    if isinstance(given, dict):
        sent = cast("Row", given)
        given = sent.get("messages", sent.get("prompt", given))
    if isinstance(given, list):
        messages = chat.chat_messages(given)
    elif given:
        messages = [{"role": "user", "content": said(given)}]
    else:
        raise RowError("It holds no input.", "Export generations with their input and output.")
    own = object_of(row.get("modelParameters", row.get("model_parameters")))
    return {"messages": messages, **chat.parameters({**sent, **own})}


def _completion(row: Row, message: Row, model: str) -> Row:
    counts = object_of(row.get("usageDetails", row.get("usage_details"))) or object_of(row.get("usage"))
    cached = count_of(counts, "input_cached_tokens", "cache_read_input_tokens") or 0
    given = count_of(counts, "input", "promptTokens", "prompt_tokens")
    output = count_of(counts, "output", "completionTokens", "completion_tokens")
    # Langfuse counts cached tokens apart from the others.
    used = chat.usage(None if given is None else given + cached, output, cached)
    finish = chat.finish_of(row.get("output"))
    return chat.completion(message, model=model, finish=finish, used=used)


def _score(row: Row) -> Judgement:
    observation, trace = text_of(row, "observationId", "observation_id"), text_of(row, "traceId", "trace_id")
    if not observation and not trace:
        raise RowError("It is a score of a session or a dataset run.", "Only scores of traces and observations count.")
    kind = text_of(row, "dataType", "data_type").upper()
    value, name = number_of(row, "value"), text_of(row, "name")
    if row.get("value") in (True, False):
        value = float(row["value"])
    words = text_of(row, "stringValue", "string_value")
    in_range = kind in ("NUMERIC", "BOOLEAN", "") and value is not None and 0 <= value <= 1
    notes = [text_of(row, "comment"), "" if in_range else f"{name}: {words or said(row.get('value'))}"]
    return Judgement(
        own_id=text_of(row, "id") or f"{observation}/{trace}/{name}/{row.get('timestamp')}",
        about=observation,
        episode=trace,
        at_ns=time_ns(row.get("timestamp", row.get("createdAt", row.get("created_at")))),
        score=value if in_range else None,
        edit=words if kind == "CORRECTION" else None,
        comment="\n".join(note for note in notes if note) or None,
    )


FORMAT = Format(
    "langfuse", "Langfuse observations, traces and scores", ("page", "trace", "observation", "score"), _role, _read
)
