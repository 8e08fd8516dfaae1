"""As much of a body as must be known to pass it on: its model, and whether it asks for a stream."""

from __future__ import annotations

import re

import msgspec

MAX_HALVES = 10_000
"""Halves of letters that are looked past: what takes long to read is nobody's text."""
_half = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Passing(msgspec.Struct):
    """What is read."""

    model: str = ""
    stream: bool | None = None


_decoder = msgspec.json.Decoder(Passing)


def read_passing(body: bytes) -> Passing | None:
    """What `body` says of itself; None where it is no JSON object, or says it in another form.

    JavaScript cuts letters in half (`text.slice(0, n)` within an emoji) and writes the half as an escape, which our
    decoder does not take, but providers do: such a body is theirs to judge.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _decoder.decode(_half.sub(rb"\\ufffd", body, MAX_HALVES))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
