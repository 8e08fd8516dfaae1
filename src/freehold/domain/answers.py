"""When two answers are the same: the 0/1 loss of closed answers. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(dict[str, Any])
_canonical = msgspec.json.Encoder(order="sorted")


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, or None. Code fences and prose around it are not removed."""
    stripped = text.strip()
    if not stripped.startswith("{"):
        return None
    try:
        return _decoder.decode(stripped)
    except (msgspec.DecodeError, RecursionError):
        return None


def canonical(value: object) -> str:
    """Canonical JSON (sorted keys, no spaces) of a decoded JSON value."""
    return _canonical.encode(value).decode()


def normalise(answer: str) -> str:
    """The form in which answers are compared: canonical JSON of an object, else the text without outer space."""
    parsed = parse_object(answer)
    return answer.strip() if parsed is None else canonical(parsed)


def disagreement(answer: str, reference: str) -> float:
    """The 0/1 loss of a closed answer against the incumbent's: 0.0 if they are the same, else 1.0."""
    if answer == reference:
        return 0.0
    return float(normalise(answer) != normalise(reference))
