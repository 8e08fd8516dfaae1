"""The normal forms, written down a second time: what a document becomes when it is translated there and back."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
LEFT_OUT = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
    "functions": [],
    "service_tier": "auto",
    "stream": False,
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "speed": "standard",
    "mcp_servers": [],
}
DROPPED = (
    "metadata",
    "store",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "cache_control",
)


def _collapsed(content: Any) -> Any:
    plain = isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}
    return content[0]["text"] if plain else content


def _listed(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _kept(document: Json) -> Json:
    found = {name: value for name, value in document.items() if value is not None}
    return {name: value for name, value in found.items() if LEFT_OUT.get(name, ...) != value}


def _led(messages: list[Json]) -> list[Json]:
    """Leading system messages as one."""
    count = next((i for i, turn in enumerate(messages) if turn["role"] != "system"), len(messages))
    blocks = [block for turn in messages[:count] for block in _listed(turn["content"])]
    return [*([{"role": "system", "content": _collapsed(blocks)}] if blocks else []), *messages[count:]]


def normal_openai(document: Json) -> Json:
    found = {name: value for name, value in _kept(document).items() if name not in DROPPED}
    limit = found.pop("max_tokens", 16384)
    found.setdefault("max_completion_tokens", limit)
    if "safety_identifier" in found:
        found["user"] = found.pop("safety_identifier")
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    found.pop("stream_options", None)
    if found.get("stream"):
        found["stream_options"] = {"include_usage": True}
    if "parallel_tool_calls" in found:
        found.setdefault("tool_choice", "auto")
        if found["tool_choice"] == "none":
            del found["parallel_tool_calls"]
    if "tools" in found:
        found["tools"] = [_openai_tool(tool) for tool in found["tools"]]
    found["messages"] = _led([_openai_message(turn) for turn in found["messages"]])
    return found


def _openai_tool(tool: Json) -> Json:
    empty = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"parameters": empty, **_kept(tool["function"])}}


def _openai_message(turn: Json) -> Json:
    turn = _kept(turn)
    turn["content"] = _collapsed(turn.get("content"))
    if turn["role"] == "developer":
        turn["role"] = "system"
    for call in turn.get("tool_calls", ()):
        if not call["function"]["arguments"].strip():
            call["function"]["arguments"] = "{}"
    if turn["role"] == "assistant" and not turn["content"]:
        turn["content"] = None if turn.get("tool_calls") else ""
    if turn["role"] == "tool":
        turn["content"] = turn["content"] or ""
    return turn


def normal_anthropic(document: Json) -> Json:
    found = {name: value for name, value in _kept(document).items() if name not in DROPPED or name == "metadata"}
    for name in ("metadata", "output_config"):
        if not found.get(name, True):
            del found[name]
    if found.get("thinking", {}).get("type") == "adaptive":
        del found["thinking"]
    if "effort" in found.get("output_config", {}):
        found["thinking"] = {"type": "adaptive"}
    choice = found.get("tool_choice", {})
    if not choice.get("disable_parallel_tool_use", True):
        del choice["disable_parallel_tool_use"]
    if "tools" in found:
        found["tools"] = [_anthropic_tool(tool) for tool in found["tools"]]
    system = _anthropic_turn({"content": found.pop("system", "")})["content"]
    turns = [_anthropic_turn(turn) for turn in found["messages"]]
    led = _led([*([{"role": "system", "content": system}] if system else []), *turns])
    if led[0]["role"] == "system":
        found["system"] = led.pop(0)["content"]
    found["messages"] = _merged(led)
    return found


def _anthropic_tool(tool: Json) -> Json:
    return {name: value for name, value in _kept(tool).items() if name not in ("type", "cache_control")}


def _anthropic_turn(turn: Json) -> Json:
    if isinstance(turn["content"], str):
        return turn
    blocks = [_anthropic_block(block) for block in turn["content"]]
    return {**turn, "content": _collapsed([block for block in blocks if "thinking" not in block["type"]])}


def _anthropic_block(block: Json) -> Json:
    block = {name: value for name, value in _kept(block).items() if name != "cache_control"}
    if block["type"] == "tool_result":
        content = _anthropic_turn({"content": block.pop("content", "")})["content"]
        if not block.get("is_error", True):
            del block["is_error"]
        if content not in ("", []):
            block["content"] = content
    if block.get("title") == "document.pdf":
        del block["title"]
    return block


def _merged(turns: list[Json]) -> list[Json]:
    """Words of the user right after tool results are in their turn."""
    found: list[Json] = []
    open_turn = False
    for turn in turns:
        results = [block["type"] == "tool_result" for block in _listed(turn["content"])]
        if open_turn and turn["role"] == "user":
            found[-1] = {**found[-1], "content": [*found[-1]["content"], *_listed(turn["content"])]}
            open_turn = bool(results) and all(results)
            continue
        found.append(turn)
        open_turn = turn["role"] == "user" and bool(results) and all(results)
    return found


def same(first: bytes, second: Json) -> bool:
    """Whether they are the same JSON, numbers in full."""
    return json.loads(first, parse_float=str) == json.loads(json.dumps(second), parse_float=str)
