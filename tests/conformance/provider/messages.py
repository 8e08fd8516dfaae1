"""Anthropic's Messages."""

from __future__ import annotations

import json
from typing import Any

from .script import (
    IN_TOKENS,
    OUT_TOKENS,
    Ask,
    Refused,
    Said,
    decoded,
    items_of,
    number_of,
    object_of,
    pieces,
    text_of,
)

Json = dict[str, Any]
SIGNATURE = "c2lnbmF0dXJl"


def ask_of(body: Json, counting: bool = False) -> Ask:
    """What a request asks for.

    Raises:
        Refused: it is none, or its tool results answer no calls.
    """
    text_of(body.get("model"), "model")
    if not counting:
        number_of(body.get("max_tokens"), "max_tokens", 1_000_000)
    messages = [object_of(message, "messages") for message in items_of(body.get("messages"), "messages")]
    if not messages or any(message.get("role") not in ("user", "assistant") for message in messages):
        raise Refused(400, "messages must be of users and assistants.", "messages")
    blocks = [(message, block) for message in messages for block in _blocks(message.get("content"))]
    last = [block for message, block in blocks if message is messages[-1]]
    said = [block for message, block in blocks if message["role"] == "user" and block.get("type") != "tool_result"]
    system = "".join(text_of(block.get("text"), "system") for block in _blocks(body.get("system") or ""))
    form = object_of(object_of(body.get("output_config") or {}, "output_config").get("format") or {}, "format")
    choice = object_of(body.get("tool_choice") or {}, "tool_choice")
    tools = tuple(text_of(object_of(tool, "tools").get("name"), "name") for tool in body.get("tools") or ())
    forced = {"tool": choice.get("name"), "any": tools[:1] and tools[0]}.get(str(choice.get("type")))
    return Ask(
        text="".join(text_of(block.get("text"), "text") for block in said if block.get("type") == "text"),
        instructions=f"[{system}] " if system else "",
        media=tuple(_picture(block) for block in said if block.get("type") == "image"),
        results=_results([block for _, block in blocks], last),
        tools=tools,
        forced=text_of(forced or "", "tool_choice"),
        parallel=choice.get("disable_parallel_tool_use") is not True,
        structured=form.get("type") == "json_schema",
        thinking=object_of(body.get("thinking") or {}, "thinking").get("type") in ("enabled", "adaptive"),
    )


def whole(body: Json, said: Said) -> Json:
    """The answer in one piece."""
    content: list[Json] = []
    if said.thinking:
        content.append({"type": "thinking", "thinking": said.thinking, "signature": SIGNATURE})
    content += [{"type": "text", "text": text} for text in said.texts]
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in said.calls
    ]
    return _message(body, content, "tool_use" if said.calls else "end_turn", OUT_TOKENS)


def events(body: Json, said: Said) -> list[Json | str]:
    """The answer as events."""
    found: list[Json | str] = [{"type": "message_start", "message": _message(body, [], None, 1)}]
    index = 0

    def block(start: Json, deltas: list[Json]) -> None:
        nonlocal index
        found.append({"type": "content_block_start", "index": index, "content_block": start})
        if index == 0:
            found.append({"type": "ping"})
        found.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        found.append({"type": "content_block_stop", "index": index})
        index += 1

    if said.thinking:
        deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(said.thinking)]
        deltas.append({"type": "signature_delta", "signature": SIGNATURE})
        block({"type": "thinking", "thinking": "", "signature": ""}, deltas)
    for text in said.texts:
        block({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(text)])
    for call in said.calls:
        parts = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces(call.arguments))]
        block({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, parts)
    delta = {"stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None}
    found.append({"type": "message_delta", "delta": delta, "usage": _usage(OUT_TOKENS)})
    return [*found, {"type": "message_stop"}]


def _message(body: Json, content: list[Json], stop: str | None, tokens: int) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _usage(tokens),
    }


def _usage(tokens: int) -> Json:
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": IN_TOKENS, **cached, "output_tokens": tokens}


def _blocks(content: object) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [object_of(block, "content") for block in items_of(content, "content")]


def _picture(block: Json) -> str:
    source = object_of(block.get("source"), "source")
    if source.get("type") == "url":
        return text_of(source.get("url"), "url")
    return decoded(text_of(source.get("media_type"), "media_type"), source.get("data"))


def _results(blocks: list[Json], last: list[Json]) -> tuple[str, ...]:
    asked = {block.get("id") for block in blocks if block.get("type") == "tool_use"}
    results = [block for block in last if block.get("type") == "tool_result"]
    if any(block.get("tool_use_id") not in asked for block in results):
        raise Refused(400, "A tool result answers no call.", "messages")
    texts = [[text_of(part.get("text"), "text") for part in _blocks(block.get("content"))] for block in results]
    return tuple("".join(parts) for parts in texts)
