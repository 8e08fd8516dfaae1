"""Names another model in a request's body, every other byte of it as it was. Pure."""

from __future__ import annotations

import re

import msgspec

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]', re.DOTALL)
"""What JSON's structure is made of (RFC 8259); numbers, literals and blanks lie between."""


def with_model(body: bytes, model: str) -> bytes:
    """`body` with `model` in place of the value of its `model` field.

    A body that is no JSON object, or has no such field that is a string, is returned as it is.
    """
    spans = _model_spans(body)
    name = msgspec.json.encode(model)
    for start, end in reversed(spans):
        body = body[:start] + name + body[end:]
    return body


def _model_spans(body: bytes) -> list[tuple[int, int]]:
    """Where the values of the outermost object's `model` fields lie; twice the field is odd, but readers differ."""
    if body.lstrip()[:1] != b"{":
        return []
    spans: list[tuple[int, int]] = []
    depth, key, after_colon = 0, b"", False
    for token in _TOKEN.finditer(body):
        text = token[0]
        sign = text[:1]
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
        elif depth != 1:
            continue
        elif sign == b":":
            after_colon = True
        elif sign == b",":
            after_colon, key = False, b""
        elif not after_colon:
            key = text
        elif _is_model(key):
            spans.append(token.span())
    return spans


def _is_model(key: bytes) -> bool:
    if key == b'"model"':
        return True
    try:
        return b"\\" in key and msgspec.json.decode(key) == "model"
    except msgspec.DecodeError:
        return False


def with_prompt(body: bytes, model: str, prompt: str) -> bytes:
    """`body` asking `model` for an answer to `prompt` alone, every other field of it as it was.

    Raises:
        msgspec.DecodeError: the body is no JSON object.
    """
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    fields["messages"] = msgspec.Raw(msgspec.json.encode([{"role": "user", "content": prompt}]))
    return msgspec.json.encode(fields)
