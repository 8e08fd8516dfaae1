"""OpenAI's chat completions."""

from __future__ import annotations

from typing import Any

from .script import (
    CREATED,
    IN_TOKENS,
    OUT_TOKENS,
    Ask,
    Refused,
    Said,
    decoded,
    from_data_url,
    items_of,
    number_of,
    object_of,
    pieces,
    text_of,
)

Json = dict[str, Any]
USAGE: Json = {
    "prompt_tokens": IN_TOKENS,
    "completion_tokens": OUT_TOKENS,
    "total_tokens": IN_TOKENS + OUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def ask_of(body: Json) -> Ask:
    """What a request asks for.

    Raises:
        Refused: it is none, or its tool results do not answer calls before them.
    """
    text_of(body.get("model"), "model")
    messages = [object_of(message, "messages") for message in items_of(body.get("messages"), "messages")]
    if not messages:
        raise Refused(400, "messages must not be empty.", "messages")
    text, media = "", ()
    for message in messages:
        if message.get("role") == "user":
            text, media = _content(message.get("content"))
    system = [m for m in messages if m.get("role") in ("system", "developer")]
    tools = tuple(_tool(tool) for tool in items_of(body.get("tools") or [], "tools"))
    kind = object_of(body.get("response_format") or {}, "response_format").get("type")
    if kind == "json_schema":
        given = object_of(body["response_format"].get("json_schema"), "response_format.json_schema")
        object_of(given.get("schema"), "response_format.json_schema.schema")
    return Ask(
        text=text,
        instructions="".join(f"[{_content(m.get('content'))[0]}] " for m in system),
        media=media,
        results=_results(messages),
        tools=tools,
        forced=_forced(body.get("tool_choice"), tools),
        parallel=body.get("parallel_tool_calls") is not False,
        structured=kind == "json_schema",
        number=number_of(body.get("n") or 1, "n"),
    )


def whole(body: Json, said: Said) -> Json:
    """The answer in one piece."""
    choices = [_choice(body, index, text) for index, text in enumerate(said.texts)]
    if said.calls:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in said.calls
        ]
        message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}]
    return {**_head(body, "chat.completion"), "choices": choices, "usage": USAGE}


def events(body: Json, said: Said) -> list[Json | str]:
    """The answer as events."""
    wants_usage = object_of(body.get("stream_options") or {}, "stream_options").get("include_usage") is True
    head = {**_head(body, "chat.completion.chunk"), **({"usage": None} if wants_usage else {})}
    found: list[Json | str] = []

    def chunk(index: int, delta: Json, finish: str | None = None, logprobs: Json | None = None) -> None:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        found.append({**head, "choices": [choice]})

    for index, text in enumerate(said.texts):
        chunk(index, {"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(text):
            chunk(index, {"content": piece}, logprobs=_logprobs(body, [piece]))
        chunk(index, {}, "stop")
    if said.calls:
        chunk(0, {"role": "assistant", "content": None, "refusal": None})
        for number, call in enumerate(said.calls):
            function = {"name": call.name, "arguments": ""}
            chunk(0, {"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]})
            for piece in pieces(call.arguments):
                chunk(0, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        chunk(0, {}, "tool_calls")
    if wants_usage:
        found.append({**head, "choices": [], "usage": USAGE})
    return [*found, "[DONE]"]


def _head(body: Json, kind: str) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": CREATED,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _choice(body: Json, index: int, text: str) -> Json:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    logprobs = _logprobs(body, pieces(text))
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": "stop"}


def _logprobs(body: Json, tokens: list[str]) -> Json | None:
    if body.get("logprobs") is not True:
        return None
    top = [{"token": "…", "logprob": -3.5, "bytes": None}] if body.get("top_logprobs") else []
    one = {"logprob": -0.25, "bytes": None, "top_logprobs": top}
    return {"content": [{"token": token, **one} for token in tokens], "refusal": None}


def _content(content: object) -> tuple[str, tuple[str, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    texts: list[str] = []
    media: list[str] = []
    for part in (object_of(part, "content") for part in items_of(content, "content")):
        if part.get("type") == "text":
            texts.append(text_of(part.get("text"), "text"))
        elif part.get("type") == "image_url":
            media.append(from_data_url(object_of(part.get("image_url"), "image_url").get("url")))
        elif part.get("type") == "input_audio":
            audio = object_of(part.get("input_audio"), "input_audio")
            media.append(decoded(f"audio/{audio.get('format')}", audio.get("data")))
        else:
            raise Refused(400, "This part of a message is unknown.", "content")
    return "".join(texts), tuple(media)


def _tool(tool: object) -> str:
    return text_of(object_of(object_of(tool, "tools").get("function"), "function").get("name"), "name")


def _forced(choice: object, tools: tuple[str, ...]) -> str:
    if isinstance(choice, dict):
        return text_of(object_of(choice.get("function"), "tool_choice").get("name"), "tool_choice")
    return tools[0] if tools and choice == "required" else ""


def _results(messages: list[Json]) -> tuple[str, ...]:
    if messages[-1].get("role") != "tool":
        return ()
    asked = {call["id"] for message in messages for call in message.get("tool_calls") or ()}
    results = [message for message in messages if message.get("role") == "tool"]
    if any(message.get("tool_call_id") not in asked for message in results):
        raise Refused(400, "A tool result answers no call.", "messages")
    return tuple(_content(message.get("content"))[0] for message in results)
