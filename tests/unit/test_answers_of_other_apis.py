"""What is read from recorded answers of Messages, Responses, legacy completions and embeddings, and what they cost."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from freehold.config import Price, UpstreamSettings
from freehold.domain.traces import Api, Trace
from freehold.record.answers import Answer, ToolCall, Usage, read_answer
from freehold.record.derive import Deriver

USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 40,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 7,
    "service_tier": "standard",
    "server_tool_use": None,
}
COUNTED = Usage(input=170, cached=40, output=7, written=30, written_hour=20)
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "☃.", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": USAGE,
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o-mini-2024-07-18",
    "incomplete_details": None,
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is ☃."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Köln"}'},
        {"type": "tool_search_call", "call_id": None, "arguments": {"query": "x"}},
    ],
    "usage": {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 1010,
    },
}


def _sse(*events: dict[str, Any]) -> bytes:
    lines = (b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) for event in events)
    return b"".join(line + b"\n\n" for line in lines)


def _block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    start = {"type": "content_block_start", "index": index, "content_block": block}
    pieces = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [start, *pieces, {"type": "content_block_stop", "index": index}]


def _text(piece: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": piece}


def _json(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


MESSAGES_STREAM = _sse(
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": USAGE | {"output_tokens": 1}},
    },
    {"type": "ping"},
    *_block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
    *_block(1, {"type": "text", "text": ""}, _text("It "), _text("is ☃.")),
    *_block(
        2,
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        _json(""),
        _json('{"city":'),
        _json('"Köln"}'),
    ),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
RESPONSES_STREAM = _sse(
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
    {"type": "response.output_text.delta", "delta": "It is "},
    {"type": "response.function_call_arguments.delta", "delta": '{"city"'},
    {"type": "response.output_text.delta", "delta": "☃."},
    {"type": "response.completed", "response": RESPONSE},
)
WANTED: dict[str, Answer] = {
    "messages": Answer(
        text="It is ☃.",
        finish_reason="tool_calls",
        model="claude-sonnet-4-5-20250929",
        usage=COUNTED,
        tool_calls=(ToolCall("toolu_1", "weather", '{"city":"Köln"}'),),
    ),
    "responses": Answer(
        text="It is ☃.",
        finish_reason="tool_calls",
        model="gpt-4o-mini-2024-07-18",
        usage=Usage(input=1000, cached=400, output=10),
        tool_calls=(ToolCall("call_1", "weather", '{"city":"Köln"}'),),
    ),
}


@pytest.mark.parametrize(
    ("api", "body", "stream"),
    [
        ("messages", msgspec.json.encode(MESSAGE), False),
        ("messages", MESSAGES_STREAM, True),
        ("responses", msgspec.json.encode(RESPONSE), False),
        ("responses", RESPONSES_STREAM, True),
        ("messages", msgspec.json.encode(MESSAGE), True),
    ],
)
def test_an_answer_reads_the_same_whole_and_streamed(api: Api, body: bytes, stream: bool) -> None:
    assert read_answer(body, stream=stream, api=api) == WANTED[api]


@pytest.mark.parametrize(("api", "body"), [("messages", MESSAGES_STREAM), ("responses", RESPONSES_STREAM)])
def test_half_a_stream_says_that_it_did_not_finish(api: Api, body: bytes) -> None:
    wanted = WANTED[api]
    for length in range(len(body) - 2):
        half = read_answer(body[:length], stream=True, api=api)
        assert (wanted.text or "").startswith(half.text or "")
        if half.finish_reason:
            assert half == wanted, "the end comes with all that was counted"


@pytest.mark.parametrize(
    ("api", "change", "finish"),
    [
        ("messages", {"stop_reason": "end_turn"}, "stop"),
        ("messages", {"stop_reason": "stop_sequence"}, "stop"),
        ("messages", {"stop_reason": "max_tokens"}, "length"),
        ("messages", {"stop_reason": "refusal"}, "content_filter"),
        ("messages", {"stop_reason": "pause_turn"}, "pause_turn"),
        ("responses", {"output": RESPONSE["output"][:2]}, "stop"),
        ("responses", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("responses", {"status": "queued"}, ""),
        ("responses", {"status": "failed"}, ""),
    ],
)
def test_ends_are_told_in_one_set_of_words(api: Api, change: dict[str, Any], finish: str) -> None:
    document = (MESSAGE if api == "messages" else RESPONSE) | change
    assert read_answer(msgspec.json.encode(document), stream=False, api=api).finish_reason == finish


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"data: {}\n\n", b"\xff", b'{"content":7,"output":7}'])
@pytest.mark.parametrize("api", ["messages", "responses", "completions", "embeddings", "other"])
@pytest.mark.parametrize("stream", [False, True])
def test_garbage_is_no_answer(body: bytes, api: Api, stream: bool) -> None:
    assert read_answer(body, stream=stream, api=api) == Answer()


def test_legacy_completions_whole_and_streamed() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"index": 0, "text": " once", "logprobs": None, "finish_reason": "length"}
    whole = {"object": "text_completion", "model": "gpt-3.5-turbo-instruct", "choices": [choice], "usage": usage}
    wanted = Answer(text=" once", finish_reason="length", model="gpt-3.5-turbo-instruct", usage=Usage(5, 0, 2))
    assert read_answer(msgspec.json.encode(whole), stream=False, api="completions") == wanted
    pieces = [("", None), (" on", None), ("ce", "length")]
    chunks = [
        {**whole, "choices": [{**choice, "text": text, "finish_reason": end}], "usage": None} for text, end in pieces
    ]
    chunks.append({**whole, "choices": []})
    stream = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    assert read_answer(stream, stream=True, api="completions") == wanted


def _trace(api: Api, response: Any, model: str, upstream: str, **changes: Any) -> Trace:
    body = response if isinstance(response, bytes) else msgspec.json.encode(response)
    trace = Trace(
        trace_id="tr_1",
        at_ns=time.time_ns(),
        api=api,
        model=model,
        answered_by=f"{upstream}/{model}",
        status=200,
        response=body,
    )
    return msgspec.structs.replace(trace, **changes)


UPSTREAMS = {
    "openai": UpstreamSettings(base_url="https://api.openai.com/v1"),
    "anthropic": UpstreamSettings(base_url="https://api.anthropic.com/v1"),
}


def _priced(model: str, **counts: int) -> int:
    return round(
        calc_price(PricedUsage(**counts), model, provider_id=None if "claude" in model else "openai").total_price
        * 10**9
    )


def test_every_api_has_a_cost() -> None:
    derive = Deriver(UPSTREAMS)
    claude = derive(_trace("messages", MESSAGE, "claude-sonnet-4-5", "anthropic"))
    assert (claude.input_tokens, claude.cached_input_tokens, claude.cache_write_tokens) == (170, 40, 30)
    assert claude.cost_nanousd == _priced(
        "claude-sonnet-4-5",
        input_tokens=170,
        cache_read_tokens=40,
        cache_write_tokens=30,
        cache_write_1h_tokens=20,
        output_tokens=7,
    )
    streamed = derive(_trace("messages", MESSAGES_STREAM, "claude-sonnet-4-5", "anthropic", stream=True))
    assert streamed.cost_nanousd == claude.cost_nanousd
    response = derive(_trace("responses", RESPONSES_STREAM, "gpt-4o-mini", "openai", stream=True))
    assert response.cost_nanousd == _priced("gpt-4o-mini", input_tokens=1000, cache_read_tokens=400, output_tokens=10)
    vectors = {"object": "list", "data": [{"embedding": [0.5] * 9}], "model": "text-embedding-3-small",
               "usage": {"prompt_tokens": 1000, "total_tokens": 1000}}  # fmt: skip
    embedded = derive(_trace("embeddings", vectors, "text-embedding-3-small", "openai"))
    assert embedded.cost_nanousd == _priced("text-embedding-3-small", input_tokens=1000) == 20_000
    assert {one.tokens_source for one in (claude, streamed, response, embedded)} == {"measured"}
    assert {one.price_source for one in (claude, streamed, response, embedded)} == {"quoted"}


def test_written_tokens_have_the_settings_price_and_cached_answers_none() -> None:
    price = Price(input=2.0, output=10.0, cached_input=0.5, cache_write=3.0)
    derive = Deriver({"anthropic": UpstreamSettings(base_url="http://x/v1", prices={"*": price})})
    trace = _trace("messages", MESSAGE, "claude-sonnet-4-5", "anthropic")
    assert derive(trace).cost_nanousd == 100 * 2000 + 40 * 500 + 30 * 3000 + 7 * 10_000
    hit = derive(msgspec.structs.replace(trace, cached=True))
    assert (hit.cost_nanousd, hit.price_source, hit.input_tokens, hit.tokens_source) == (0, "cached", 0, "")
    assert hit.answer == "It is ☃."


def test_what_was_not_counted_is_estimated_from_what_was_said() -> None:
    asked = {"model": "m", "max_tokens": 9, "system": "1234", "messages": [{"role": "user", "content": "12345678"}]}
    half = _sse(*_block(0, {"type": "text", "text": ""}, _text("1234")))
    derive = Deriver({})
    message = derive(_trace("messages", half, "m", "up", stream=True, request=msgspec.json.encode(asked)))
    assert (message.input_tokens, message.output_tokens, message.tokens_source) == (3, 1, "estimated")
    told = {"model": "m", "prompt": ["1234", "5678"]}
    broken = b'data: {"choices":[{"index":0,"text":"1234"}]}\n\n'
    legacy = derive(_trace("completions", broken, "m", "up", stream=True, request=msgspec.json.encode(told)))
    assert (legacy.input_tokens, legacy.output_tokens, legacy.tokens_source) == (2, 1, "estimated")
    other = derive(_trace("other", b"\x00mp3", "m", "up", request=msgspec.json.encode(asked)))
    assert (other.input_tokens, other.tokens_source, other.price_source) == (0, "", "none")
