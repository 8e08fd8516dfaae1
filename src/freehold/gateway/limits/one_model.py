"""Scopes and budgets go by the model that a body names: one that names two may mean another to its next reader."""

from __future__ import annotations

import json

from freehold.domain.errors import RequestError

_ESCAPED = (b"\\u006", b"\\u004")
"""How the escapes of the letters of `model` begin, small and capital."""


def check_one_model(body: bytes) -> None:
    """Refuse a JSON object that has `model` more than once, in whatever case or spelling.

    Which of two a reader takes is its own choice (RFC 8259, 4), and some readers ignore case.

    Raises:
        RequestError: it names more than one, or cannot be read to its end.
    """
    lowered = body.lower()
    if lowered.count(b'"model"') <= 1 and not any(escaped in lowered for escaped in _ESCAPED):
        return
    names: list[str] = []

    def seen(pairs: list[tuple[str, object]]) -> None:
        names[:] = (name for name, _ in pairs)  # the outermost object comes last

    try:
        json.loads(body, object_pairs_hook=seen)
    except (ValueError, RecursionError) as error:
        raise RequestError("The body is not JSON.", "Send a JSON object.") from error
    if sum(name.casefold() == "model" for name in names) > 1:
        raise RequestError("The body names its model more than once.", "Name it once.")
