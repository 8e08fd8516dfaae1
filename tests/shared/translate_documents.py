"""Whole documents in normal form, and pieces of them, of which examples are made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Embed = Callable[[Json], Json]

PNG = "data:image/png;base64,iVBORw0="
PDF = "data:application/pdf;base64,JVBERi0="
SCHEMA = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
SCHEMA_FORMAT: Json = {
    "type": "json_schema",
    "json_schema": {"name": "response", "schema": SCHEMA, "strict": True},
}
CACHE = {"type": "ephemeral"}
BREAK = {"mode": "explicit"}


def openai(**fields: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 5, **fields}


def anthropic(**fields: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **fields}


def completion(message: Json | None = None, choice: Json | None = None, **fields: Any) -> Json:
    """OpenAI's answer, in normal form."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    usage |= {"prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 3}}
    said = {"role": "assistant", "content": "yes", "refusal": None, **(message or {})}
    chosen = {"index": 0, "message": said, "logprobs": None, "finish_reason": "stop", **(choice or {})}
    base = {"id": "a1", "object": "chat.completion", "created": 7, "model": "m", "choices": [chosen], "usage": usage}
    return {**base, **fields}


def message(*blocks: Json, **fields: Any) -> Json:
    """Anthropic's answer, in normal form."""
    usage = {"input_tokens": 6, "output_tokens": 4, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
    usage |= {"output_tokens_details": {"thinking_tokens": 3}}
    stop = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    base = {"id": "a1", "type": "message", "role": "assistant", "model": "m"}
    content = list(blocks) or [{"type": "text", "text": "yes"}]
    return {**base, "content": content, **stop, "usage": usage, **fields}


CALL: Json = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.10}'}}
USE: Json = {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
STOPPED = {"stop_reason": "refusal"}
THOUGHT = {"reasoning_content": "hm", "thinking_blocks": [SIGNED]}


def typed(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def encode(document: Json) -> bytes:
    return json.dumps(document).encode()
