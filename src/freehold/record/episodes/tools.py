"""Which tools a request offers, in the form of OpenAI's chat completions, whatever API it is by. For reading only."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.domain.traces import Trace

Tool = dict[str, Any]


class _Body(msgspec.Struct):
    tools: msgspec.Raw = msgspec.Raw(b"null")
    functions: msgspec.Raw = msgspec.Raw(b"null")
    """What chat completions called them before."""


_body = msgspec.json.Decoder(_Body)
_list = msgspec.json.Decoder(list[Any])


class Offered:
    """Call it with a trace. Steps of an agent offer the same tools again and again: these are read once."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Tool, ...]] = {}

    def __call__(self, trace: Trace) -> tuple[Tool, ...]:
        """The tools of the request; none if it offers none, or they cannot be read."""
        try:
            body = _body.decode(trace.request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ()
        data = bytes(body.tools)
        raw = data if data != b"null" else bytes(body.functions)
        if raw not in self._known:
            self._known[raw] = _read(raw)
        return self._known[raw]


def _read(raw: bytes) -> tuple[Tool, ...]:
    try:
        found = _list.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(_tool(cast("Tool", one)) for one in found if isinstance(one, dict))


def _tool(one: Tool) -> Tool:
    """Anthropic's and Responses' functions as OpenAI's; the provider's own tools stay as they were sent."""
    if one.get("type", "function") not in ("function", "custom") or isinstance(one.get("function"), dict):
        return one
    parameters: Any = one.get("input_schema", one.get("parameters"))
    if "name" not in one or (one.get("type") == "custom" and parameters is None):
        return one
    function: Tool = {"name": one["name"], "description": one.get("description"), "parameters": parameters}
    function["strict"] = one.get("strict")
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}
