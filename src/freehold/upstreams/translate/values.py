"""Values that both protocols have under different names, and the shapes that both directions share."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.upstreams.translate.rules import ANY, ITEMS, TEXT, At, Out, Table, by_type, is_text

FINISH_OF_STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's `stop_reason` → OpenAI's `finish_reason`. `pause_turn` belongs to server tools, which are refused."""

STOP_OF_FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""OpenAI's `finish_reason` → Anthropic's `stop_reason`. `function_call` belongs to `functions`, which are refused."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""Levels of effort that both protocols have, under the same names."""

IMAGE_SCHEMES = ("https://", "http://")
UNTITLED = "document.pdf"
"""OpenAI wants a name for every file; a document without a title gets this one, which is none on the way back."""

TOOL_ERROR = "[is_error: true] "
"""OpenAI's tool messages have no `is_error`: the model is told in the text, which is taken back on the way back."""

FORMAT_NAME = "response"
"""OpenAI wants a name for every JSON schema; Anthropic has none."""

EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
"""The parameters of a function without parameters."""


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a `data:` URL; None if it is another kind of URL, or not plain base64."""
    head, comma, data = url.partition(",")
    scheme, _, rest = head.partition(":")
    media_type, semicolon, encoding = rest.partition(";")
    if scheme.lower() != "data" or not comma or not semicolon or encoding != "base64" or "/" not in media_type:
        return None
    return media_type, data


def content_of(raw: msgspec.Raw, types: Table, at: At) -> Any:
    """A message's content: text as it is, a list of parts translated by their types; a lone text becomes a string."""
    if is_text(raw):
        return raw
    return collapsed(blocks_of(raw, types, at))


def blocks_of(raw: msgspec.Raw, types: Table, at: At) -> list[Out]:
    """A message's content as a list of translated blocks; types that are dropped are not among them."""
    if is_text(raw):
        return text_blocks(raw)
    found = [by_type(types, item, at.item(index)) for index, item in enumerate(at.read(raw, ITEMS))]
    return [block for block in found if block]


def text_blocks(content: Any) -> list[Out]:
    """Content as a list of blocks; both protocols define a string as one text block."""
    return cast("list[Out]", content) if isinstance(content, list) else [{"type": "text", "text": content}]


def collapsed(blocks: list[Out]) -> Any:
    """The normal form of content: one block of nothing but text is a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def is_blank(content: Any, at: At) -> bool:
    """Whether content says nothing: an empty string or list."""
    if isinstance(content, msgspec.Raw):
        return is_text(content) and at.read(content, TEXT) == ""
    return not content


def same_value(first: Any, second: Any, at: At) -> bool:
    """Whether two values are the same JSON."""
    return at.read(msgspec.json.encode(first), ANY) == at.read(msgspec.json.encode(second), ANY)
