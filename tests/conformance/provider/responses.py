"""OpenAI's Responses API."""

from __future__ import annotations

from typing import Any

from .script import (
    CREATED,
    IN_TOKENS,
    OUT_TOKENS,
    Ask,
    Refused,
    Said,
    from_data_url,
    items_of,
    object_of,
    pieces,
    text_of,
)

Json = dict[str, Any]
ID = "resp_1"


def ask_of(body: Json) -> Ask:
    """What a request asks for.

    Raises:
        Refused: it is none, or its tool results answer no calls.
    """
    text_of(body.get("model"), "model")
    given = body.get("input")
    text, media, results = "", (), ()
    instructions = f"[{body['instructions']}] " if body.get("instructions") else ""
    if isinstance(given, str):
        text = given
    else:
        items = [object_of(item, "input") for item in items_of(given, "input")]
        for item in items:
            if item.get("role") == "user":
                text, media = _content(item.get("content"))
            elif item.get("role") in ("system", "developer"):
                instructions += f"[{_content(item.get('content'))[0]}] "
        results = _results(items, bool(body.get("previous_response_id")))
    if body.get("previous_response_id"):
        instructions += f"(after {text_of(body['previous_response_id'], 'previous_response_id')}) "
    kind = object_of(object_of(body.get("text") or {}, "text").get("format") or {}, "text.format")
    if kind.get("type") == "json_schema":
        object_of(kind.get("schema"), "text.format.schema")
    return Ask(
        text=text,
        instructions=instructions,
        media=media,
        results=results,
        tools=tuple(_tool(tool) for tool in items_of(body.get("tools") or [], "tools")),
        parallel=body.get("parallel_tool_calls") is not False,
        structured=kind.get("type") == "json_schema",
    )


def whole(body: Json, said: Said) -> Json:
    """The answer in one piece."""
    output = [_message(text, "completed") for text in said.texts]
    output += [_call(n, call.id, call.name, call.arguments, "completed") for n, call in enumerate(said.calls)]
    return _response(body, "completed", output)


def events(body: Json, said: Said) -> list[Json | str]:
    """The answer as events, numbered in order."""
    found: list[Json | str] = []

    def event(kind: str, **fields: object) -> None:
        found.append({"type": kind, "sequence_number": len(found), **fields})

    event("response.created", response=_response(body, "in_progress", []))
    event("response.in_progress", response=_response(body, "in_progress", []))
    for text in said.texts:
        where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        event("response.output_item.added", output_index=0, item=_message(None, "in_progress"))
        event("response.content_part.added", **where, part=_part(""))
        for piece in pieces(text):
            event("response.output_text.delta", **where, delta=piece, logprobs=[])
        event("response.output_text.done", **where, text=text, logprobs=[])
        event("response.content_part.done", **where, part=_part(text))
        event("response.output_item.done", output_index=0, item=_message(text, "completed"))
    for number, call in enumerate(said.calls):
        at = {"item_id": f"fc_{number}", "output_index": number}
        item = _call(number, call.id, call.name, "", "in_progress")
        event("response.output_item.added", output_index=number, item=item)
        for piece in pieces(call.arguments):
            event("response.function_call_arguments.delta", **at, delta=piece)
        event("response.function_call_arguments.done", **at, name=call.name, arguments=call.arguments)
        item = _call(number, call.id, call.name, call.arguments, "completed")
        event("response.output_item.done", output_index=number, item=item)
    event("response.completed", response=whole(body, said))
    return found


def _response(body: Json, status: str, output: list[Json]) -> Json:
    details = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    details |= {"output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": IN_TOKENS, "output_tokens": OUT_TOKENS, "total_tokens": IN_TOKENS + OUT_TOKENS}
    return {
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "store": body.get("store") is not False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {**usage, **details} if status == "completed" else None,
    }


def _message(text: str | None, status: str) -> Json:
    content = [] if text is None else [_part(text)]
    return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(number: int, call_id: str, name: str, arguments: str, status: str) -> Json:
    item = {"id": f"fc_{number}", "type": "function_call", "status": status, "call_id": call_id}
    return {**item, "name": name, "arguments": arguments}


def _content(content: object) -> tuple[str, tuple[str, ...]]:
    if isinstance(content, str):
        return content, ()
    texts: list[str] = []
    media: list[str] = []
    for part in (object_of(part, "content") for part in items_of(content, "content")):
        if part.get("type") == "input_text":
            texts.append(text_of(part.get("text"), "text"))
        elif part.get("type") == "input_image":
            media.append(from_data_url(part.get("image_url")))
        else:
            raise Refused(400, "This part of a message is unknown.", "content")
    return "".join(texts), tuple(media)


def _tool(tool: object) -> str:
    return text_of(object_of(tool, "tools").get("name"), "name")


def _results(items: list[Json], after_another: bool) -> tuple[str, ...]:
    results = [item for item in items if item.get("type") == "function_call_output"]
    asked = {item.get("call_id") for item in items if item.get("type") == "function_call"}
    if not after_another and any(item.get("call_id") not in asked for item in results):
        raise Refused(400, "A tool result answers no call.", "input")
    return tuple(_output(item.get("output")) for item in results)


def _output(value: object) -> str:
    return value if isinstance(value, str) else _content(value)[0]
