"""What an exchange says under OpenTelemetry's conventions for generative AI, whose names are in `domain.genai`.

The conventions describe spans of clients. Ours are those of a server that a client calls: kind SERVER, with the same
attributes; tries at upstreams and models of a ladder are spans of kind CLIENT below them, or INTERNAL for a student.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.genai import (
    CACHED_TOKENS,
    CONVERSATION,
    ERROR_TYPE,
    FINISH_REASONS,
    FIRST_CHUNK,
    HTTP_STATUS,
    INPUT_MESSAGES,
    INPUT_TOKENS,
    OPERATION,
    OPERATIONS,
    OUTPUT_MESSAGES,
    OUTPUT_TOKENS,
    PARAMETERS,
    PROVIDER,
    REQUEST_MODEL,
    REQUEST_STREAM,
    RESPONSE_MODEL,
    SCHEMA_URL,
    provider_of,
)
from freehold.domain.traces import Trace
from freehold.record.answers import Answer

__all__ = [
    "CACHED_TOKENS",
    "CONVERSATION",
    "ERROR_TYPE",
    "FINISH_REASONS",
    "FIRST_CHUNK",
    "HTTP_STATUS",
    "INPUT_MESSAGES",
    "INPUT_TOKENS",
    "OPERATION",
    "OPERATIONS",
    "OUTPUT_MESSAGES",
    "OUTPUT_TOKENS",
    "PARAMETERS",
    "PROVIDER",
    "REQUEST_MODEL",
    "REQUEST_STREAM",
    "RESPONSE_MODEL",
    "SCHEMA_URL",
    "Attributes",
    "attributes",
    "content",
    "error_type",
    "provider_of",
    "span_name",
]

Attributes = dict[str, Any]


class _Request(msgspec.Struct):
    """The numbers of a request, each of whatever type the caller chose."""

    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    seed: Any = None
    n: Any = None


_request = msgspec.json.Decoder(_Request)


def span_name(trace: Trace) -> str:
    """`{operation} {model}`."""
    return f"{OPERATIONS.get(trace.api, trace.api)} {trace.model}".strip()


def attributes(trace: Trace, answer: Answer, providers: Mapping[str, str]) -> Attributes:
    """What is said of an exchange without its content; `providers`: upstream → the provider's name, where known."""
    upstream, _, model = trace.answered_by.partition("/")
    found: Attributes = {
        PROVIDER: providers.get(upstream, upstream or "freehold"),
        HTTP_STATUS: trace.status,
        "freehold.trace_id": trace.trace_id,
        "freehold.kind": trace.kind,
        "freehold.api": trace.api,
        "freehold.reason": trace.reason,
        "freehold.owned": trace.owned,
        "freehold.cached": trace.cached,
        "freehold.policy": trace.policy,
    }
    optional = {
        OPERATION: OPERATIONS.get(trace.api),
        REQUEST_MODEL: trace.model,
        REQUEST_STREAM: trace.stream,
        CONVERSATION: trace.episode,
        ERROR_TYPE: error_type(trace.status, trace.error),
        FIRST_CHUNK: trace.first_byte_us / 1e6 if trace.stream else None,
        RESPONSE_MODEL: answer.model or (model if trace.status < 400 else ""),
        FINISH_REASONS: [answer.finish_reason] if answer.finish_reason else None,
        "freehold.answered_by": trace.answered_by,
        "freehold.task": trace.task_name or trace.task,
        "freehold.certificate": trace.certificate,
        "freehold.key": trace.key,
    }
    found.update((name, value) for name, value in optional.items() if value)
    if answer.usage is not None:
        usage = answer.usage
        found |= {INPUT_TOKENS: usage.input, OUTPUT_TOKENS: usage.output, CACHED_TOKENS: usage.cached}
    return found | _parameters(trace.request)


def error_type(status: int, error: str | None) -> str | None:
    """Our code of what went wrong, or the status of an upstream's own error."""
    if error is not None:
        return error.partition(":")[0]
    return str(status) if status >= 400 else None


def _parameters(request: bytes) -> Attributes:
    try:
        known = _request.decode(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    values = ((attribute, getattr(known, field)) for field, attribute in PARAMETERS.items())
    return {attribute: value for attribute, value in values if isinstance(value, int | float)}


def content(trace: Trace, answer: Answer) -> Attributes:
    """Prompt and answer as the conventions shape them (JSON strings), for chat completions and Messages."""
    found: Attributes = {}
    messages = _messages(trace.request) if trace.api in ("chat", "messages") else []
    if messages:
        found[INPUT_MESSAGES] = _json(messages)
    parts: list[Any] = [{"type": "text", "content": answer.text}] if answer.text else []
    parts += (
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in answer.tool_calls
    )
    if parts:
        said = {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason or "error"}
        found[OUTPUT_MESSAGES] = _json([said])
    return found


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str = ""


class _Conversation(msgspec.Struct):
    messages: list[_Message]
    system: str | list[dict[str, Any]] | None = None


_conversation = msgspec.json.Decoder(_Conversation)


def _messages(request: bytes) -> list[Any]:
    try:
        known = _conversation.decode(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    said = [{"role": message.role, "parts": _parts(message)} for message in known.messages]
    return [{"role": "system", "parts": _texts(known.system)}, *said] if known.system else said


def _parts(message: _Message) -> list[Any]:
    if message.role == "tool":
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}]
    return _texts(message.content) + [
        {"type": "tool_call", "id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in message.tool_calls or ()
        if call.function is not None
    ]


def _texts(content: str | list[dict[str, Any]] | None) -> list[Any]:
    """Text as the conventions shape it; an image, a sound or a tool's result as it was sent."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [
        {"type": "text", "content": part.get("text")} if part.get("type") == "text" else part for part in content or ()
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
