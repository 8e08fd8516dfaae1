"""Looks into messages of OpenAI's chat completions: their text, their tool calls, the arguments of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from freehold.domain.episodes import Message

_decoder = msgspec.json.Decoder()


def text_of(message: Message) -> str:
    """The text of a message's content, its parts joined; parts that are no text are passed over."""
    return "".join(part["text"] for part in parts_of(message) if part.get("type") == "text")


def parts_of(message: Message) -> list[dict[str, Any]]:
    """A message's content as parts; text is one part of it, and no content none."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [cast("dict[str, Any]", part) for part in cast("list[Any]", content or []) if isinstance(part, dict)]


def calls_of(message: Message) -> list[Mapping[str, Any]]:
    """The tool calls of an assistant's message."""
    return [cast("Mapping[str, Any]", call) for call in message.get("tool_calls") or () if isinstance(call, dict)]


def function_of(call: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and arguments of a tool call; the arguments are the value they say, or the text if they are no JSON.

    A custom tool's `input` is any text, and stays one.
    """
    custom = call.get("custom")
    if isinstance(custom, dict):
        found = cast("dict[str, Any]", custom)
        return str(found.get("name") or ""), found.get("input")
    function = cast("dict[str, Any]", call.get("function") or {})
    return str(function.get("name") or ""), _value(function.get("arguments"))


def well_formed(call: Mapping[str, Any]) -> bool:
    """Whether the arguments are what their tool takes: an object of JSON, or any text for a custom tool."""
    return isinstance(function_of(call)[1], str if "custom" in call else dict)


def _value(arguments: Any) -> Any:
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    if not isinstance(arguments, str):
        return arguments
    try:
        return _decoder.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
