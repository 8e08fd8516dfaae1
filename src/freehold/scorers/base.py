"""What all scorers share: what is known of the request, the bounds on an answer, and text made safe to look at."""

from __future__ import annotations

from typing import Any

import msgspec

from freehold.domain.answers import unfence

MAX_CHARACTERS = 1_000_000
"""Longer answers are not scored."""
MAX_SHOWN = 120
"""Characters of an answer that a sentence quotes."""
NOT_JSON: Any = object()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer may know besides the two answers; what is empty is not known."""

    prompt: str = ""
    """What was asked, as text: for a judge."""
    schema: dict[str, Any] | None = None
    """The JSON Schema in the request's `response_format`."""
    database: str = ""
    """Absolute path of the SQLite database that the request is about."""
    script: str = ""
    """SQL that makes that database, where there is no file."""
    tests: str = ""
    """Unit tests of the request."""
    feedback: tuple[float, ...] = ()
    """People's scores of the answer."""
    reference_feedback: tuple[float, ...] = ()
    """People's scores of the reference."""


class Unusable(Exception):
    """An answer or a reference that cannot be scored; becomes `Score.failed` within this room."""


def prepared(answer: str | None, whose: str) -> str:
    """The answer's text, `as_utf8`.

    Raises:
        Unusable: there is none, or it is too long.
    """
    if answer is None:
        raise Unusable(f"{whose} holds no text (a tool call, say).")
    if len(answer) > MAX_CHARACTERS:
        raise Unusable(f"{whose} has {len(answer):,} characters; at most {MAX_CHARACTERS:,} are scored.")
    return as_utf8(answer)


def as_utf8(text: str) -> str:
    """`text` with `?` for lone surrogates, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def parse_json(text: str) -> Any:
    """The JSON value that `text` is, a code fence around all of it allowed; `NOT_JSON` if it is none."""
    try:
        return msgspec.json.decode(unfence(text)[1])
    except (msgspec.DecodeError, RecursionError):
        return NOT_JSON


def shown(value: object) -> str:
    """`value` in quotes, as far as a sentence can hold it."""
    text = str(value)
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}…"


def fenced_code(text: str) -> str:
    """The longest block between Markdown code fences, or the whole text where there is none."""
    blocks: list[str] = []
    block: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            if block is not None:
                blocks.append("".join(block))
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
    if block:  # a fence that was never closed
        blocks.append("".join(block))
    return max(blocks, key=len, default=text)
