"""Answers in the shape of the OpenAI protocol: one JSON document of a student's, or the events of a stream."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from freehold.domain.chat import ChatRequest, student_input
from freehold.route import Gate, Student
from freehold.upstreams.base import Headers

_encode = msgspec.json.encode
_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


def owned_answer(
    request: ChatRequest, student: Student | Gate | None, text: str, trace_id: str
) -> tuple[Headers, bytes]:
    """Headers and body of a student's answer; `model` is the one that was asked for, since callers check it."""
    usage = _usage(request, student, text)
    head: dict[str, Any] = {"id": f"chatcmpl-{trace_id}", "created": int(time.time()), "model": request.model}
    message = {"role": "assistant", "content": text, "refusal": None}
    if request.stream:
        return as_events(request, {**head, "system_fingerprint": None}, message, "stop", usage)
    return as_document({**head, "system_fingerprint": None}, message, "stop", usage)


def as_document(
    head: dict[str, Any], message: dict[str, Any], finish: str | None, usage: object
) -> tuple[Headers, bytes]:
    """Headers and body of a whole answer."""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish or "stop"}
    return _JSON, _encode({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


def as_events(
    request: ChatRequest, head: dict[str, Any], message: dict[str, Any], finish: str | None, usage: object
) -> tuple[Headers, bytes]:
    """Headers and body of a whole answer, streamed: role, then the message's fields, finish, usage, and the end.

    Usage comes only if the request asks for it; it is then null in the other events, as OpenAI has it.
    """
    wanted = request.stream_options is not None and request.stream_options.include_usage
    more: dict[str, Any] = {"usage": None} if wanted else {}
    head = {**head, "object": "chat.completion.chunk"}
    said = {name: value for name, value in message.items() if name != "role" and value is not None}
    if "tool_calls" in said:
        said["tool_calls"] = [{"index": place, **call} for place, call in enumerate(said["tool_calls"])]
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        (said, None),
        ({}, finish or "stop"),
    ]
    events: list[dict[str, Any]] = []
    for delta, end in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        events.append({**head, "choices": [choice], **more})
    if wanted:
        events.append({**head, "choices": [], "usage": usage})
    return _EVENTS, b"".join(b"data: " + _encode(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _usage(request: ChatRequest, student: Student | Gate | None, text: str) -> dict[str, int]:
    """Tokens as the incumbent would have counted them, estimated by the student from its evidence."""
    if student is None:
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    asked = student.input_tokens(student_input(request) or "")
    given = student.output_tokens(text)
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}
