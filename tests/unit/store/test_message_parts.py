"""Requests taken apart and put together again: the same bytes, whatever they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.store.traces.message_parts import LEAST_BYTES, digests, join, split

TEXT = st.text(max_size=200)
LONG = st.sampled_from(["x" * 100, '"' * 80, "\\u0041" * 30, "é☃" * 60, "lorem ipsum " * 20])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | LONG,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("messages", "input", "system", "instructions", "tools", "model", "metadata")
REQUEST = st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=5)


def _back(request: bytes) -> bytes:
    taken = split(request)
    if taken is None:
        return request
    pieces = dict(taken.pieces)
    assert [digest for digest, _ in taken.pieces] == digests(taken.parts)
    assert all(len(piece) >= LEAST_BYTES for piece in pieces.values())
    return join(taken.skeleton, taken.parts, pieces.__getitem__)


@settings(max_examples=200, deadline=None)
@given(REQUEST, st.sampled_from([None, 1]), st.booleans())
def test_any_json_comes_back_as_it_was(request: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(request, indent=indent, ensure_ascii=ascii_only)
    assert _back(text.encode()) == text.encode()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_come_back_as_they_were(before: bytes, after: bytes) -> None:
    for request in (before, before + b'{"messages":[{"content":"' + after + b'"}]}', b'{"messages":[' + after):
        assert _back(request) == request


@pytest.mark.parametrize(
    "request_bytes",
    [
        b'{"messages":[],"messages":[{"role":"user","content":"' + b"twice " * 20 + b'"}]}',
        b'{"a":[{"role":"user","content":"' + b"before " * 20 + b'"}],"messages":[{"role":"user","content":"'
        + b"before " * 20 + b'"}]}',
        b'{"messages":"' + b"a string, not a list " * 10 + b'"}',
        b'{"messages":[' + b",".join([b'{"role":"user","content":"' + b"same " * 20 + b'"}'] * 5) + b"]} \n",
        b'{"messages":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'\xef\xbb\xbf{"messages":["' + b"x" * 99 + b'"]}',
        b'{"messages":["' + b"\xff" * 99 + b'"]}',
        b'{"messages":[' + b'"' + b"x" * 99 + b'"',
    ],
)  # fmt: skip
def test_odd_requests_come_back_as_they_were(request_bytes: bytes) -> None:
    assert _back(request_bytes) == request_bytes


def test_every_message_and_tool_is_a_piece_and_short_ones_stay() -> None:
    turns = [{"role": "user", "content": "word " * 30 + str(number)} for number in range(4)]
    tools = [{"type": "function", "function": {"name": "f", "description": "does it " * 20}}]
    request = json.dumps({"model": "m", "messages": [*turns, {"role": "user", "content": "ok"}], "tools": tools})
    taken = split(request.encode())
    assert taken is not None
    assert {json.dumps(json.loads(piece)) for _, piece in taken.pieces} == {json.dumps(item) for item in turns + tools}
    assert b'"content": "ok"' in taken.skeleton and len(taken.skeleton) < 120


def test_a_request_without_long_messages_is_kept_whole() -> None:
    assert split(b'{"messages":[{"role":"user","content":"hi"}]}') is None
