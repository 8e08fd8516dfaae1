"""The front matter of a model card: the few YAML forms that name a licence. What is not of these forms is not known."""

from __future__ import annotations

import re

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_KEY = re.compile(r"^[\"']?(\w+)[\"']?[ \t]*:(?:[ \t]+(.*)|)$")
_COMMENT = re.compile(r"(^|\s)#.*$")
MAX_CARD = 200_000
"""Characters of a card that are looked at."""


def front_matter(text: str) -> dict[str, str]:
    """Top-level keys and their values; several values of one key, or a list, are joined by commas.

    A card whose front matter has no end is one that nobody can read: then every key is missing.
    """
    block = _FRONT_MATTER.match(text[:MAX_CARD].replace("\r\n", "\n"))
    if block is None:
        return {}
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in block.group(1).split("\n"):
        stripped = _COMMENT.sub("", line).rstrip()
        key = _KEY.match(stripped)
        if key is not None:
            current = found.setdefault(key[1], [])
            current += _values(key[2] or "")
        elif stripped.lstrip().startswith("- "):
            current += _values(stripped.lstrip()[2:])
        elif stripped.strip() and current:
            current[-1] += " " + stripped.strip()  # a value goes on in the next line
    return {key: ", ".join(values) for key, values in found.items() if values}


def _values(text: str) -> list[str]:
    text = text.strip()
    parts = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    return [part.strip().strip("\"'") for part in parts if part.strip()]
