"""TRACER: its traces of a teacher, and the calls that its `watch` recorded.

Source: the package tracer-llm 0.3.3, `tracer/traces/loader.py` (`{input, teacher}` and `id`, `ground_truth`,
`metadata`, with the other names it takes for the two) and `tracer/watch.py` (GenAISpan, one JSON object per line of
`.tracer/watch/*.jsonl`). A trace's `id` need not be unique, so traces are known by their content. `ground_truth` is
feedback: the right label.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, count_of, number_of, object_of, objects_of, said, text_of, time_ns

_INPUTS = ("input", "query", "text", "prompt", "question")
_LABELS = ("teacher", "teacher_output", "label", "intent", "output", "answer")


def _role(row: Row) -> str | None:
    if "operation_name" in row and "input_text" in row and "output_text" in row:
        return "watched"
    return "trace" if "input" in row and "teacher" in row else None


def _read(role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    if role == "watched":
        yield _watched(row)
        return
    exchange = _trace(row)
    yield exchange
    truth = said(row.get("ground_truth"))
    if truth:
        yield Judgement(own_id="ground_truth", exchange=exchange, label=truth)


def _trace(row: Row) -> Exchange:
    given = next((said(row[name]) for name in _INPUTS if row.get(name) is not None), "")
    label = next((said(row[name]) for name in _LABELS if row.get(name) is not None), "")
    if not given or not label:
        raise RowError("It has no input or no teacher's answer.", "Give `input` and `teacher`.")
    about = object_of(row.get("metadata"))
    model = text_of(about, "request_model", "model")
    used = chat.usage(count_of(about, "input_tokens"), count_of(about, "output_tokens"))
    return Exchange(
        request={"messages": [{"role": "user", "content": given}]},
        response=chat.completion(chat.assistant(label), model=model, used=used),
        at_ns=time_ns(about.get("ts")),
        model=model,
        answered=text_of(about, "response_model"),
        provider=text_of(about, "system"),
        episode=text_of(about, "session_id"),
        subject=text_of(about, "user_id"),
    )


def _watched(row: Row) -> Exchange:
    failed = text_of(row, "status") == "error"
    calls = [chat.tool_call("", text_of(call, "name"), call.get("arguments")) for call in objects_of(row["tool_calls"])]
    model = text_of(row, "request_model")
    finish = next((str(item) for item in row.get("finish_reasons") or ()), "")
    message = chat.assistant(text_of(row, "output_text") or None, calls)
    used = chat.usage(count_of(row, "input_tokens"), count_of(row, "output_tokens"))
    answer = chat.completion(message, model=text_of(row, "response_model") or model, finish=finish, used=used)
    asked: Row = {"messages": [{"role": "user", "content": text_of(row, "input_text")}]}
    trace, span = text_of(row, "trace_id"), text_of(row, "span_id")
    return Exchange(
        request=asked | chat.parameters(object_of(row.get("request_params"))),
        response=None if failed else answer,
        own_id=f"{trace}-{span}" if trace and span else "",
        at_ns=time_ns(row.get("start_time")),
        model=model,
        answered=text_of(row, "response_model"),
        provider=text_of(row, "system"),
        status=500 if failed else 200,
        error="tracer: error" if failed else None,
        episode=text_of(row, "session_id", "conversation_id") or trace,
        subject=text_of(row, "user_id"),
        first_byte_us=int((number_of(row, "ttft_ms") or 0) * 1000),
        duration_us=int((number_of(row, "latency_ms") or 0) * 1000),
    )


FORMAT = Format("tracer", "TRACER traces and watched calls", ("trace", "watched"), _role, _read)
