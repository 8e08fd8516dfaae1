"""A recorded request and response as people read them. Never fails: what is not understood is shown as it is. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import msgspec

from freehold.dashboard.show import clip, pretty

SHOWN_MESSAGES = 200


class Said(NamedTuple):
    """One message."""

    role: str
    text: str
    note: str
    """What is not text: tool calls as JSON, kinds of parts that are left out."""


class RequestView(NamedTuple):
    """A request."""

    messages: tuple[Said, ...]
    left_out: int
    """Messages beyond `SHOWN_MESSAGES`."""
    rest: str
    """The other fields, as JSON; empty if there are none."""
    raw: str
    """The bytes as text, if they are no chat request; else empty."""


def view_request(body: bytes) -> RequestView:
    """Read a request's body."""
    document = _object(body)
    messages = document.get("messages") if document is not None else None
    if document is None or not isinstance(messages, list):
        return RequestView((), 0, "", clip(body.decode(errors="replace")))
    found = cast("list[Any]", messages)
    rest = {name: value for name, value in document.items() if name != "messages"}
    return RequestView(
        messages=tuple(_said(message) for message in found[:SHOWN_MESSAGES]),
        left_out=max(0, len(found) - SHOWN_MESSAGES),
        rest=pretty(rest) if rest else "",
        raw="",
    )


def view_response(body: bytes) -> str:
    """A response's bytes as text: JSON over several lines, anything else as it is; clipped."""
    document = _object(body)
    return clip(body.decode(errors="replace")) if document is None else pretty(document)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _said(message: object) -> Said:
    if not isinstance(message, dict):
        return Said("?", "", pretty(message))
    fields = cast("dict[str, Any]", message)
    role = str(fields.get("role", "?"))
    text, others = _content(fields.get("content"))
    rest = {name: value for name, value in fields.items() if name not in ("role", "content")}
    notes = [f"Not shown: {', '.join(others)}."] if others else []
    return Said(role, clip(text), "\n".join([*notes, *([pretty(rest)] if rest else [])]))


def _content(content: object) -> tuple[str, list[str]]:
    """The text of a message's content, and the kinds of its other parts."""
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list):
        return pretty(content), []
    texts: list[str] = []
    others: list[str] = []
    for part in cast("list[Any]", content):
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        text = fields.get("text")
        if isinstance(text, str):
            texts.append(text)
        else:
            others.append(str(fields.get("type", "a part of unknown kind")))
    return "\n".join(texts), others
