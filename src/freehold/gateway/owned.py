"""A student's answer in the shape of the OpenAI protocol: one JSON document, or the events of a stream."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from freehold.domain.chat import ChatRequest, student_input
from freehold.route import Decision
from freehold.upstreams.base import Headers

_encode = msgspec.json.encode
_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


def owned_answer(request: ChatRequest, decision: Decision, trace_id: str) -> tuple[Headers, bytes]:
    """Headers and body of an accepted answer; `model` is the one that was asked for, since callers check it."""
    usage = _usage(request, decision)
    head: dict[str, Any] = {
        "id": f"chatcmpl-{trace_id}",
        "object": "chat.completion.chunk" if request.stream else "chat.completion",
        "created": int(time.time()),
        "model": request.model,
    }
    if request.stream:
        wanted = request.stream_options is not None and request.stream_options.include_usage
        return _EVENTS, _events(head, decision.answer, usage if wanted else None)
    message = {"role": "assistant", "content": decision.answer, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _JSON, _encode({**head, "choices": [choice], "usage": usage, "system_fingerprint": None})


def _events(head: dict[str, Any], text: str, usage: dict[str, int] | None) -> bytes:
    """Role, content, finish, usage if it was asked for (then null in the others, as OpenAI does), and the end."""
    more: dict[str, Any] = {} if usage is None else {"usage": None}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": text}, None),
        ({}, "stop"),
    ]
    events: list[dict[str, Any]] = []
    for delta, finish in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        events.append({**head, "system_fingerprint": None, "choices": [choice], **more})
    if usage is not None:
        events.append({**head, "system_fingerprint": None, "choices": [], "usage": usage})
    return b"".join(b"data: " + _encode(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _usage(request: ChatRequest, decision: Decision) -> dict[str, int]:
    """Tokens as the incumbent would have counted them, estimated by the student from its evidence."""
    if decision.student is None:
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    asked = decision.student.input_tokens(student_input(request) or "")
    given = decision.student.output_tokens(decision.answer)
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}
