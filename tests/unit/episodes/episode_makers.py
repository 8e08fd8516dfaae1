"""Traces of small agent runs, written by hand; times are in seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from freehold.domain.episodes import Step
from freehold.domain.traces import Trace
from freehold.record.episodes.hear import Hearing
from freehold.record.episodes.tree import Exchange

SECOND = 1_000_000_000
_hearing = Hearing()


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def said(text: str | None, *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """An assistant's message; `calls`: (id, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        function = [{"name": "do", "arguments": msgspec.json.encode(given).decode()} for _, given in calls]
        named = zip(calls, function, strict=True)
        message["tool_calls"] = [{"id": one[0], "type": "function", "function": made} for one, made in named]
    return message


def result(call: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": text}


def asked(at: float, messages: list[Any], answer: dict[str, Any] | None, took: float = 0.5, **more: Any) -> Trace:
    """A chat completion: `answer` None: it failed."""
    body = {"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]} if answer else {"error": {}}
    fields: dict[str, Any] = {
        "trace_id": f"tr_{int(at * 1000):016x}",
        "at_ns": int(at * SECOND),
        "duration_us": int(took * 1e6),
        "status": 200 if answer else 503,
        "error": None if answer else "upstream_error: overloaded",
        "answered_by": "up/m" if answer else "",
        "model": "m",
        "request": msgspec.json.encode({"model": "m", "messages": messages}),
        "response": msgspec.json.encode(body),
    }
    return Trace(**{**fields, **more})


def exchange(trace: Trace) -> Exchange:
    """A trace as what a tree is made of."""
    names = [name for name in Step.__struct_fields__ if name in Trace.__struct_fields__]
    derived = {"finish_reason": "stop", "tokens_source": "", "price_source": "none"}
    counts = {"input_tokens": 0, "output_tokens": 0, "cost_nanousd": 0}
    return Exchange(Step(**{name: getattr(trace, name) for name in names}, **derived, **counts), _hearing(trace))  # type: ignore[arg-type]
