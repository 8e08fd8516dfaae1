"""What a request asked for beyond plain text, in words: what an owned model would have to be able to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

PLAIN = "plain text"
_PARTS = {
    "image_url": "images",
    "image": "images",
    "input_image": "images",
    "input_audio": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
}
"""Type of a part of a message (OpenAI's chat and Responses APIs, Anthropic's Messages) → what it is."""
_FIELDS = {
    "tools": "tools",
    "functions": "tools",
    "logprobs": "log-probabilities",
    "modalities": "answers that are not text",
    "audio": "answers that are not text",
    "thinking": "extended thinking",
    "previous_response_id": "conversations kept by the provider",
}
"""Field of a request → what it asks for, where it is given and not empty or false."""
_DEEPEST = 6


def needs_of(api: str, body: bytes) -> tuple[str, ...]:
    """What a request asked for, each thing once; `PLAIN` alone where there is nothing special about it.

    Args:
        api: which API it came by: see `freehold.domain.traces.Api`.
        body: its body; one that cannot be read is taken for plain text.
    """
    if api == "embeddings":
        return ("embeddings",)
    if api == "other":
        return ("an endpoint of the provider's own",)
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (PLAIN,)
    if not isinstance(document, dict):
        return (PLAIN,)
    return tuple(dict.fromkeys(_needs(cast(dict[str, Any], document)))) or (PLAIN,)


def _needs(document: dict[str, Any]) -> Iterator[str]:
    yield from (said for field, said in _FIELDS.items() if document.get(field))
    n = document.get("n")
    if isinstance(n, int) and n > 1:
        yield "several answers at once"
    form = document.get("response_format")
    text = document.get("text")  # where the Responses API has it
    if form is None and isinstance(text, dict):
        form = cast(dict[str, Any], text).get("format")
    if isinstance(form, dict) and cast(dict[str, Any], form).get("type") not in (None, "text"):
        yield "a form of answer (response_format)"
    yield from (_PARTS[kind] for kind in _types(document.get("messages") or document.get("input"), _DEEPEST))


def _types(value: Any, depth: int) -> Iterator[str]:
    """The types of all parts of messages."""
    if depth == 0:
        return
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _types(item, depth - 1)
    elif isinstance(value, dict):
        part = cast(dict[str, Any], value)
        kind = part.get("type")
        if isinstance(kind, str) and kind in _PARTS:
            yield kind
        yield from _types(part.get("content"), depth - 1)
