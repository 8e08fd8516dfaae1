"""Streams: translated event by event and put together they are the whole answer translated, however they are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_documents import Json, message, typed
from translate_strategies import anthropic_answers, openai_answers
from translate_streams import anthropic_events, anthropic_whole, cut, openai_chunks, openai_whole, parsed, sse

from freehold.domain.errors import AnswerNotTranslatable, UpstreamProtocolError
from freehold.upstreams.translate import StreamToAnthropic, StreamToOpenAI, answer_to_anthropic, answer_to_openai
from freehold.upstreams.translate.sse import SseParser

quick = settings(max_examples=30, deadline=None)


def _through(stream: Any, pieces: list[bytes]) -> bytes:
    return b"".join([*(stream.feed(piece) for piece in pieces), stream.finish()])


@quick
@given(anthropic_answers(), st.data())
def test_anthropic_streams(whole: Json, data: st.DataObject) -> None:
    stream = sse(data.draw, anthropic_events(data.draw, whole), named=True)
    at_once = _through(StreamToOpenAI(created=7, include_usage=True), [stream])
    assert _through(StreamToOpenAI(created=7, include_usage=True), cut(data.draw, stream)) == at_once
    expected = json.loads(answer_to_openai(json.dumps(whole).encode(), created=7).body)
    assert openai_whole(at_once) == expected


@quick
@given(openai_answers(), st.data())
def test_openai_streams(whole: Json, data: st.DataObject) -> None:
    stream = sse(data.draw, openai_chunks(data.draw, whole), named=False)
    at_once = _through(StreamToAnthropic(), [stream])
    assert _through(StreamToAnthropic(), cut(data.draw, stream)) == at_once
    assert anthropic_whole(at_once) == json.loads(answer_to_anthropic(json.dumps(whole).encode()).body)


def test_a_stream_byte_by_byte() -> None:
    chunks = [_chunk({"content": "né"}), _chunk({}, finish_reason="stop"), "[DONE]"]
    stream = b"".join(f"data: {c if isinstance(c, str) else json.dumps(c)}\r\n\r\n".encode() for c in chunks)
    bytewise = [stream[place : place + 1] for place in range(len(stream))]
    assert _through(StreamToAnthropic(), bytewise) == _through(StreamToAnthropic(), [stream])


def _chunk(delta: Json, **choice: Any) -> Json:
    chosen = {"index": 0, "delta": delta, "finish_reason": None, **choice}
    return {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [chosen]}


def _call(index: int | None, arguments: str, name: str | None = None, identity: str | None = None) -> Json:
    return _chunk(
        {"tool_calls": [{"index": index, "id": identity, "function": {"name": name, "arguments": arguments}}]}
    )


def _sent(*chunks: Json | str) -> bytes:
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


STOP = _chunk({}, finish_reason="stop")


def _blocks(*chunks: Json | str) -> list[Json]:
    return anthropic_whole(_through(StreamToAnthropic(), [_sent(*chunks)]))["content"]


def test_text_is_sent_when_it_comes() -> None:
    stream = StreamToAnthropic()
    assert b'"text":"one"' in stream.feed(_sent(_chunk({"content": "one"})))
    other = StreamToOpenAI(created=1)
    start = typed("message_start", message=message(usage={"input_tokens": 1, "output_tokens": 1}))
    block = typed("content_block_start", index=0, content_block=typed("text", text=""))
    other.feed(_sent(start, block))
    delta = typed("content_block_delta", index=0, delta=typed("text_delta", text="one"))
    assert b'"content":"one"' in other.feed(_sent(delta))


def test_pieces_of_calls_may_come_mixed_and_a_whole_call_ends_when_the_next_begins() -> None:
    stream = StreamToAnthropic()
    stream.feed(_sent(_call(0, '{"a"', "f", "c0"), _call(1, '{"b": 2}', "g", "c1")))
    assert b"content_block_stop" in stream.feed(_sent(_call(0, ": 1}")))
    rest = stream.feed(_sent(STOP, "[DONE]"))
    assert b'"stop_reason":"tool_use"' in rest, "a forced call ends with `stop` at OpenAI"
    mixed = _blocks(_call(0, '{"a"', "f", "c0"), _call(1, '{"b": 2}', "g", "c1"), _call(0, ": 1}"), STOP)
    assert [block["input"] for block in mixed] == [{"a": 1}, {"b": 2}]


def test_calls_of_servers_that_number_them_all_alike_or_not_at_all() -> None:
    for index in (0, None):
        found = _blocks(_call(index, '{"a": 1}', "f", "c0"), _call(index, "{}", "g", "c1"), STOP)
        assert [(block["id"], block["input"]) for block in found] == [("c0", {"a": 1}), ("c1", {})]


def test_text_after_a_call_stays_after_it() -> None:
    found = _blocks(_chunk({"content": "a"}), _call(0, "{}", "f", "c0"), _chunk({"content": "b"}), STOP)
    assert [block["type"] for block in found] == ["text", "tool_use", "text"]


def test_a_server_that_says_no_more_than_it_must() -> None:
    whole = anthropic_whole(_through(StreamToAnthropic(), [_sent(_chunk({"content": "a"}), STOP)]))
    assert whole["usage"]["output_tokens"] == 0
    assert whole["stop_reason"] == "end_turn"


def test_a_server_that_counts_in_every_chunk() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2}
    sent = _sent(_chunk({"content": "a"}), {**_chunk({"content": "b"}), "usage": usage}, STOP, "[DONE]")
    whole = anthropic_whole(_through(StreamToAnthropic(), [sent]))
    assert whole["content"] == [typed("text", text="ab")]
    assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (4, 2)


def test_counts_that_a_later_event_does_not_repeat_are_kept() -> None:
    events = [START, typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": None})]
    sent = _through(StreamToOpenAI(created=1, include_usage=True), [_sent(*events, typed("message_stop"))])
    assert openai_whole(sent)["usage"]["prompt_tokens"] == 1


def test_reasoning_without_signature_becomes_thinking() -> None:
    found = _blocks(_chunk({"reasoning": "h"}), _chunk({"reasoning": "m"}), _chunk({"content": "a"}), STOP)
    assert found == [typed("thinking", thinking="hm", signature=""), typed("text", text="a")]


def test_a_stream_without_usage_has_none_and_a_ping_is_a_comment() -> None:
    events = [typed("message_start", message=message(usage={"input_tokens": 1, "output_tokens": 1})), typed("ping")]
    events += [typed("novelty"), typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})]
    sent = _through(StreamToOpenAI(created=1), [_sent(*events, typed("message_stop"))])
    assert b"usage" not in sent
    assert b"\n\n: ping\n\n" in sent
    assert parsed(sent)[-2]["choices"][0]["finish_reason"] == "stop"


def test_errors_in_streams() -> None:
    failure = typed("error", error={"type": "overloaded_error", "message": "busy"})
    sent = _through(StreamToOpenAI(created=1), [_sent(failure, typed("message_stop"))])
    assert parsed(sent) == [
        {"error": {"message": "busy", "type": "overloaded_error", "param": None, "code": "overloaded"}}
    ]
    failed = {"error": {"message": "busy", "type": "server_error", "code": None}}
    sent = _through(StreamToAnthropic(), [_sent(_chunk({"content": "a"}), failed, STOP)])
    assert parsed(sent)[-1] == typed("error", error={"type": "api_error", "message": "busy"})


@pytest.mark.parametrize("stream", [StreamToOpenAI(created=1), StreamToAnthropic()])
def test_a_stream_that_ends_too_soon(stream: Any) -> None:
    with pytest.raises(UpstreamProtocolError, match="before its answer was complete"):
        stream.finish()


START = typed("message_start", message=message(usage={"input_tokens": 1, "output_tokens": 1}))
TEXT_BLOCK = typed("content_block_start", index=0, content_block=typed("text", text=""))


@pytest.mark.parametrize(
    ("events", "named"),
    [
        ([typed("content_block_stop", index=0)], "message_start"),
        ([START, typed("content_block_stop", index=0)], "index"),
        ([START, typed("content_block_start", index=0, content_block=typed("zzz"))], "content_block.zzz"),
        (
            [START, TEXT_BLOCK, typed("content_block_delta", index=0, delta=typed("citations_delta", citation={}))],
            "delta",
        ),
        ([START, TEXT_BLOCK, typed("content_block_delta", index=0, delta=typed("zzz"))], "delta.zzz"),
        (
            [START, TEXT_BLOCK, typed("content_block_delta", index=0, delta=typed("thinking_delta", thinking="x"))],
            "thinking_delta in a block of type text",
        ),
        ([START, typed("message_stop")], "stop_reason"),
        ([START, typed("message_delta", delta={"stop_reason": "pause_turn"}, usage={})], "stop_reason"),
        (["{nonsense"], "cannot be read"),
    ],
)
def test_what_openai_cannot_say(events: list[Any], named: str) -> None:
    with pytest.raises(AnswerNotTranslatable, match=named):
        StreamToOpenAI(created=1).feed(_sent(*events))


@pytest.mark.parametrize(
    ("chunks", "named"),
    [
        ([_chunk({"audio": {"id": "x"}})], "audio"),
        ([_chunk({"function_call": {"name": "f"}})], "function_call"),
        ([_chunk({}, logprobs={"content": [{"token": "x"}]})], "logprobs"),
        ([_chunk({"content": "a"}), _chunk({"content": "b"}, logprobs={"content": [{"token": "b"}]})], "logprobs"),
        ([_chunk({}, index=1)], "index"),
        ([_chunk({"content": "a"}), _chunk({"content": "b"}, index=1)], "index"),
        ([{**STOP, "choices": STOP["choices"] * 2}], "choices"),
        ([_call(0, "{}")], "without id or name"),
        ([_call(0, "{}", "f", "c0"), _call(1, "{}", "g", "c1"), _call(0, "{}")], "complete"),
        ([_chunk({"tool_calls": [{"index": 0, "type": "custom"}]})], "tool_calls"),
        ([_chunk({}, finish_reason="whim")], "finish_reason"),
        (["{nonsense"], "cannot be read"),
    ],
)
def test_what_anthropic_cannot_say(chunks: list[Any], named: str) -> None:
    with pytest.raises(AnswerNotTranslatable, match=named):
        StreamToAnthropic().feed(_sent(*chunks))


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_events_of_several_lines_however_they_are_cut(end: bytes) -> None:
    stream = end.join([b"event: e", b"data:  a", b"data: b", b"", b"data: c", b"", b""])
    for place in range(len(stream) + 1):
        parser = SseParser()
        found = [*parser.feed(stream[:place]), *parser.feed(stream[place:])]
        assert [(event.name, event.data) for event in found] == [(b"e", b" a\nb"), (b"", b"c")]


def test_events_are_bounded_and_fields_of_no_use_are_passed_over() -> None:
    parser = SseParser(limit=64)
    found = parser.feed(b"\xef\xbb\xbfid: 1\nretry: 5\nevent: e\ndata: a\ndata:b\n\nevent: none\n\n")
    assert [(event.name, event.data) for event in found] == [(b"e", b"a\nb")]
    with pytest.raises(UpstreamProtocolError, match="64"):
        for _ in range(10):
            parser.feed(b"x" * 10)
    with pytest.raises(UpstreamProtocolError, match="64"):
        SseParser(limit=64).feed(b"data: " + b"x" * 70 + b"\n")
