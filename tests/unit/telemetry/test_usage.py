"""Tokens found at a glance are those that the reader of whole answers finds, whatever else has such a name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.traces import Api
from freehold.gateway.limits.usage import tokens_of
from freehold.record.answers import read_answer

counts = st.integers(0, 10**7)
decoys: Any = st.sampled_from(
    ["", '"usage":{"prompt_tokens":1}', {"usage": {"input_tokens": "x"}}, {"usage": None}, {"usage": [1]}, "\\"]
)


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events)


def chat(first: int, cached: int, last: int, decoy: Any, stream: bool) -> bytes:
    usage = {
        "prompt_tokens": first,
        "completion_tokens": last,
        "total_tokens": first + last,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
    }
    if stream:
        delta = {"index": 0, "delta": {"content": json.dumps(decoy)}, "finish_reason": None}
        chunks = [{"choices": [delta], "usage": None}] * 3
        return sse(*chunks, {"choices": [], "usage": usage}) + b"data: [DONE]\n\n"
    message = {"role": "assistant", "content": json.dumps(decoy)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"choices": choices, "usage": usage, "metadata": decoy}, indent=1).encode()


def messages(first: int, cached: int, last: int, decoy: Any, stream: bool) -> bytes:
    usage = {"input_tokens": first, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 3}
    if stream:
        start = {
            "type": "message_start",
            "message": {"model": "c", "content": [], "usage": usage | {"output_tokens": 1}},
        }
        piece = {"type": "content_block_delta", "index": 0, "delta": {"text": json.dumps(decoy)}}
        return sse(start, piece, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": last}})
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {"given": decoy}}]
    return json.dumps({"content": content, "usage": usage | {"output_tokens": last}}).encode()


def responses(first: int, cached: int, last: int, decoy: Any, stream: bool) -> bytes:
    usage = {
        "input_tokens": first,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": last,
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    document = {"status": "completed", "output": [], "usage": usage, "metadata": {"usage": "SECRET", "x": decoy}}
    if stream:
        begun = {"type": "response.created", "response": document | {"usage": None}}
        return sse(begun, {"type": "response.completed", "response": document})
    return json.dumps(document).encode()


@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
@given(counts, counts, counts, decoys, st.booleans())
def test_it_agrees_with_the_reader_of_whole_answers(
    api: Api, first: int, cached: int, last: int, decoy: Any, stream: bool
) -> None:
    body = {"chat": chat, "messages": messages, "responses": responses}[api](first, cached, last, decoy, stream)
    usage = read_answer(body, stream=stream, api=api).usage
    assert usage is not None
    assert tokens_of(body, api) == (usage.input, usage.cached, usage.output)


@given(st.binary(max_size=200), st.sampled_from(["chat", "messages"]))
def test_it_never_fails(noise: bytes, api: Api) -> None:
    for body in (noise, b'{"usage":' + noise, b'{"usage":{"prompt_tokens":' + noise, b'{"usage":' * 2000 + noise):
        tokens_of(body, api)


def test_what_does_not_say_has_none() -> None:
    assert tokens_of(b'data: {"choices":[],"usage":null}\n\ndata: [DONE]\n\n', "chat") is None
    assert tokens_of(b'{"error":{"message":"x"}}', "chat") is None
    assert tokens_of(b'{"usage":{"prompt_tokens":true,"completion_tokens":-1}}', "chat") is None
    assert tokens_of(b'{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}', "embeddings") == (8, 0, 0)
