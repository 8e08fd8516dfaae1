"""When two conversations are the same so far, however a client wrote them down again. Pure.

A message is a JSON object in the form of OpenAI's chat completions. A client that sends a conversation again re-writes
it: text becomes a list of one part, empty fields come and go, arguments of tool calls are spaced differently, marks of
what to cache move, an assistant's outer white space is cut off, a proxy gives calls other ids. None of that makes
another conversation; anything else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, cast

import msgspec

ChatMessage = dict[str, Any]
"""One message in the form of OpenAI's chat completions: `role`, `content`, `tool_calls`, `tool_call_id`, `name` …"""

DIGEST_BYTES = 16
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


class Conversation:
    """Walks a conversation; after each message, `digest` stands for all of it so far."""

    __slots__ = ("_calls", "_count", "digest")

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        """Id of a tool call → how many calls came before it, which is what stands for it here."""
        self._count = 0
        self.digest = b""

    def add(self, message: Mapping[str, Any]) -> bytes:
        """Take the next message; the digest (16 bytes) of the conversation up to it.

        Equal for equal conversations, in every process and at every time (BLAKE2b over canonical JSON).
        """
        self.digest = blake2b(self.digest + _encoder.encode(self._form(message)), digest_size=DIGEST_BYTES).digest()
        return self.digest

    def _form(self, message: Mapping[str, Any]) -> list[Any]:
        """What of a message counts."""
        role = str(message.get("role", ""))
        content = content_form(message.get("content"))
        if role in ("system", "developer"):
            return ["system", content]
        if role in ("tool", "function"):
            call = message.get("tool_call_id") or message.get("name")
            return ["tool", content, self._calls.get(str(call), call)]
        if role != "assistant":
            return [role, content, message.get("name")]
        said = content.strip() if isinstance(content, str) else content
        return ["assistant", said, [self._call(call) for call in calls_of(message)]]

    def _call(self, call: Mapping[str, Any]) -> list[Any]:
        function = function_of(call)
        self._calls[str(call.get("id") or function.get("name"))] = self._count
        self._count += 1
        return [function.get("name"), arguments_form(function.get("arguments"))]


def prefix_digests(messages: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """One digest per message, for the conversation that ends with it: equal digests, equal beginnings."""
    walk = Conversation()
    return [walk.add(message) for message in messages]


def calls_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool calls of an assistant's message; the one `function_call` of older clients counts as one."""
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return [cast("Mapping[str, Any]", call) for call in cast("list[Any]", calls) if isinstance(call, dict)]
    legacy = message.get("function_call")
    return [{"type": "function", "function": legacy}] if isinstance(legacy, dict) else []


def function_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool call calls: `name` and `arguments` (a custom tool's `input` counts as its arguments)."""
    function = call.get("function")
    if isinstance(function, dict):
        return cast("Mapping[str, Any]", function)
    custom = call.get("custom")
    if isinstance(custom, dict):
        found = cast("Mapping[str, Any]", custom)
        return {"name": found.get("name"), "arguments": found.get("input")}
    return {}


def arguments_form(arguments: Any) -> Any:
    """Arguments as the value they say, or the text itself where it is no JSON; none are `{}`."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return _decoder.decode(arguments) if arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        return arguments


def content_form(content: Any) -> Any:
    """Content as one text where it is one, else its parts without marks of what to cache; none is the empty text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in cast("list[Any]", content)]
    if not parts:
        return ""
    only = cast("dict[str, Any]", parts[0]) if len(parts) == 1 and isinstance(parts[0], dict) else {}
    return only["text"] if only.keys() == {"type", "text"} and isinstance(only["text"], str) else parts


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    known = cast("dict[str, Any]", part)
    return {name: value for name, value in known.items() if name != "cache_control" and value is not None}
