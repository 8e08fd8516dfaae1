"""Puts pseudonyms for personal data and secrets in all that was said, the same ones for the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from freehold.domain.episodes import Message, Turn

Redact = Callable[[Sequence[str]], list[str]]
"""Texts → the same texts without what is to go; text that is JSON stays JSON."""

SAID = frozenset(("content", "text", "arguments", "input", "reasoning_content", "refusal", "url", "image_url"))
"""Fields of a message, at any depth, whose text was said; ids, roles and kinds stay, or nothing would fit together."""
DATA_URL = "data:"
"""What a URL begins with that is no address but an image: nothing in it is text."""


def redact_turns(turns: Mapping[str, Turn], redact: Redact) -> dict[str, Turn]:
    """The turns with every text that was said redacted; their digests stay those of what was really said.

    Each different text is looked at once, however often agents sent it again. Descriptions of tools are the program's
    own and stay.
    """
    messages = {id(message): message for turn in turns.values() for message in _all(turn)}
    said = dict.fromkeys(text for message in messages.values() for text in _texts(message))
    known = dict(zip(said, redact(list(said)), strict=True))
    made: dict[int, Message] = {}
    """Identity of a message → the message redacted: histories hold the same messages again and again."""

    def redacted(message: Message) -> Message:
        if id(message) not in made:
            made[id(message)] = _replaced(message, known)
        return made[id(message)]

    return {
        trace_id: msgspec.structs.replace(
            turn,
            messages=tuple(map(redacted, turn.messages)),
            answer=None if turn.answer is None else redacted(turn.answer),
        )
        for trace_id, turn in turns.items()
    }


def _all(turn: Turn) -> list[Message]:
    return [*turn.messages, *([turn.answer] if turn.answer is not None else [])]


def _texts(value: Any) -> Iterable[str]:
    """Every text that was said in a message or a list of them."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            if not isinstance(item, str):
                yield from _texts(item)
            elif name in SAID and not item.startswith(DATA_URL):
                yield item
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            if isinstance(item, str):
                yield item
            else:
                yield from _texts(item)


def _replaced(value: Any, known: Mapping[str, str]) -> Any:
    """The value with the texts that `_texts` finds replaced."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _field(name, item, known) for name, item in fields.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [known.get(item, item) if isinstance(item, str) else _replaced(item, known) for item in items]
    return value


def _field(name: str, item: Any, known: Mapping[str, str]) -> Any:
    if isinstance(item, str):
        return known.get(item, item) if name in SAID else item
    return _replaced(item, known)
