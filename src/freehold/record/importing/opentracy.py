"""OpenTracy: rows of its table `llm_traces`, the traces of its runtime, and their feedback.

Source: OpenTracy/OpenTracy, `go/internal/clickhouse/migrations/` (001, 004 and 006: llm_traces), `runtime/store/
traces.py` (`traces/…/raw/*.jsonl`) and `runtime/store/feedback.py` (`{trace_id, score 1–5, comment, at}`). Its `route`
rows are routing decisions without an answer, and are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import (
    Row,
    count_of,
    list_of,
    number_of,
    object_of,
    objects_of,
    opened,
    text_of,
    time_ns,
)


def _role(row: Row) -> str | None:
    if "selected_model" in row and "request_id" in row:
        return "llm-trace"
    if "trace_id" in row and "request" in row and "response" in row and ("success" in row or "agent_version" in row):
        return "trace"
    return "feedback" if "trace_id" in row and "score" in row and "at" in row else None


def _read(role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    if role == "llm-trace":
        if text_of(row, "request_type") != "route":
            yield _llm_trace(row)
    elif role == "trace":
        yield _trace(row)
    else:
        yield _feedback(row)


def _llm_trace(row: Row) -> Exchange:
    text = text_of(row, "input_text")
    given = opened(row.get("input_messages")) or ([{"role": "user", "content": text}] if text else None)
    if not given:
        raise RowError("It holds no prompt: neither input_messages nor input_text.", "Export those columns too.")
    request: Row = {"messages": chat.chat_messages(given)}
    tools = list_of(row.get("request_tools"))
    if tools:
        request |= chat.parameters({"tools": tools})
    failed = bool(count_of(row, "is_error"))
    model = text_of(row, "selected_model")
    return Exchange(
        request=request,
        response=None if failed else _completion(row, model),
        own_id=text_of(row, "request_id"),
        at_ns=time_ns(row.get("timestamp")),
        model=model,
        provider=text_of(row, "provider"),
        status=500 if failed else 200,
        error=f"opentracy: {text_of(row, 'error_category') or 'error'}" if failed else None,
        cached=bool(count_of(row, "cache_hit")),
        first_byte_us=int((number_of(row, "ttft_ms") or 0) * 1000),
        duration_us=int((number_of(row, "latency_ms") or 0) * 1000),
    )


def _completion(row: Row, model: str) -> Row:
    message = chat.answer_message(row.get("output_message")) or chat.answer_message(text_of(row, "output_text"))
    calls = [_call(item) for item in objects_of(row.get("response_tool_calls"))]
    if calls and not (message or {}).get("tool_calls"):
        message = chat.assistant((message or {}).get("content"), calls)
    if message is None:
        raise RowError("It holds no answer: neither output_message nor output_text.", "Export those columns too.")
    used = chat.usage(count_of(row, "tokens_in"), count_of(row, "tokens_out"))
    return chat.completion(message, model=model, finish=text_of(row, "finish_reason"), used=used)


def _call(given: Row) -> Row:
    function = object_of(given.get("function")) or given
    return chat.tool_call(text_of(given, "id"), text_of(function, "name"), function.get("arguments"))


def _trace(row: Row) -> Exchange:
    asked = text_of(row, "request")
    answer = text_of(row, "response")
    if not asked:
        raise RowError("Its request is empty.", "Export the traces as they are.")
    history = objects_of(row.get("history"))
    turns = chat.chat_messages([*history, {"role": "user", "content": asked}])
    failed = row.get("success") is False or not answer
    used = chat.usage(count_of(row, "tokens_in"), count_of(row, "tokens_out"))
    models = (text_of(stage, "routing_model") for stage in objects_of(row.get("stages")))
    model = next((name for name in models if name), "")
    return Exchange(
        request={"messages": turns},
        response=None if failed else chat.completion(chat.assistant(answer), model=model, used=used),
        own_id=text_of(row, "trace_id"),
        at_ns=time_ns(row.get("timestamp")),
        model=model,
        status=500 if failed else 200,
        error="opentracy: error" if failed else None,
        episode=text_of(row, "session_id"),
        duration_us=int((number_of(row, "duration_ms") or 0) * 1000),
    )


def _feedback(row: Row) -> Judgement:
    score = number_of(row, "score")
    if score is None or not 1 <= score <= 5:
        raise RowError("Its score is not between 1 and 5.", "Export the feedback as it is.")
    trace, at = text_of(row, "trace_id"), time_ns(row.get("at"))
    comment = text_of(row, "comment") or None
    return Judgement(own_id=f"{trace}/{at}", about=trace, at_ns=at, score=(score - 1) / 4, comment=comment)


FORMAT = Format("opentracy", "OpenTracy traces and feedback", ("llm-trace", "trace", "feedback"), _role, _read)
