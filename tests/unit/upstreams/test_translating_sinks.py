"""Answers translated as they are pushed: heads, whole answers, errors, streams, and what breaks off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_documents import Json, message
from translate_strategies import anthropic_answers, openai_answers
from translate_streams import anthropic_events, anthropic_whole, cut, openai_chunks, openai_whole, sse

from freehold.domain.errors import AnswerNotTranslatable, UpstreamError, UpstreamProtocolError, UpstreamTimeout
from freehold.upstreams.anthropic import sinks
from freehold.upstreams.anthropic.sinks import ToAnthropic, ToOpenAI, Translating
from freehold.upstreams.base import Headers
from freehold.upstreams.translate import answer_to_anthropic, answer_to_openai

quick = settings(max_examples=12, deadline=None)
JSON: Headers = [(b"content-type", b"application/json"), (b"content-length", b"999")]
EVENTS: Headers = [(b"content-type", b"text/event-stream")]
NOW = 1_763_748_000.0  # 2025-11-21T18:00:00Z


class Heard:
    """A sink that checks the order of what it hears, and a call."""

    def __init__(self) -> None:
        self.head: tuple[str, int, dict[bytes, bytes]] | None = None
        self.chunks: list[bytes] = []
        self.ended: UpstreamError | bool = False
        self.cancelled = False

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        assert self.head is None and not self.ended
        self.head = (upstream, status, dict(headers))

    def data(self, chunk: bytes, last: bool) -> None:
        assert self.head is not None and not self.ended
        self.chunks.append(chunk)
        self.ended = last

    def fail(self, error: UpstreamError) -> None:
        assert not self.ended
        self.ended = error

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def _to_openai(heard: Heard, **options: Any) -> ToOpenAI:
    sink = ToOpenAI(heard, created=7, include_usage=True, clock=lambda: NOW, **options)
    sink.call = heard
    return sink


def _to_anthropic(heard: Heard, **options: Any) -> ToAnthropic:
    sink = ToAnthropic(heard, clock=lambda: NOW, **options)
    sink.call = heard
    return sink


def _push(sink: Translating, status: int, headers: Headers, *chunks: bytes, last: bool = True) -> None:
    sink.begin("up", status, headers)
    for place, chunk in enumerate(chunks):
        sink.data(chunk, last and place == len(chunks) - 1)


@quick
@given(anthropic_answers(), st.data())
def test_anthropic_answers_come_whole_or_streamed(whole: Json, data: st.DataObject) -> None:
    body = json.dumps(whole).encode()
    expected = answer_to_openai(body, created=7).body
    heard = Heard()
    _push(_to_openai(heard), 200, JSON, *cut(data.draw, body))
    assert heard.head == ("up", 200, {b"content-type": b"application/json", b"content-length": b"%d" % len(expected)})
    assert (heard.body, heard.ended) == (expected, True)
    streamed = Heard()
    stream = sse(data.draw, anthropic_events(data.draw, whole), named=True)
    _push(_to_openai(streamed), 200, EVENTS, *cut(data.draw, stream))
    assert streamed.head is not None and streamed.head[2] == {b"content-type": b"text/event-stream; charset=utf-8"}
    assert openai_whole(streamed.body) == json.loads(expected)
    assert streamed.ended is True


@quick
@given(openai_answers(), st.data())
def test_openai_answers_come_whole_or_streamed(whole: Json, data: st.DataObject) -> None:
    body = json.dumps(whole).encode()
    heard, streamed = Heard(), Heard()
    _push(_to_anthropic(heard), 200, JSON, *cut(data.draw, body))
    assert (heard.body, heard.ended) == (answer_to_anthropic(body).body, True)
    stream = sse(data.draw, openai_chunks(data.draw, whole), named=False)
    _push(_to_anthropic(streamed), 200, EVENTS, *cut(data.draw, stream))
    assert anthropic_whole(streamed.body) == json.loads(heard.body)
    assert streamed.ended is True


def test_events_are_passed_on_as_they_come() -> None:
    heard = Heard()
    sink = _to_openai(heard)
    start = {"type": "message_start", "message": {**message(), "content": []}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    sink.begin("up", 200, EVENTS)
    sink.data(_event(start) + _event(block), False)
    for word in ("It ", "is", " ☃"):
        before = len(heard.chunks)
        piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        sink.data(_event(piece), False)
        assert len(heard.chunks) == before + 1
        assert json.loads(heard.chunks[-1][6:])["choices"][0]["delta"] == {"content": word}


def _event(document: Json) -> bytes:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()


BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
LIMITED = b'{"error":{"message":"Too fast","type":"requests","param":null,"code":"rate_limit_exceeded"}}'


def test_errors_come_in_the_callers_words() -> None:
    heard = Heard()
    headers = [*JSON, (b"request-id", b"req_1"), (b"retry-after", b"7"), (b"x-should-retry", b"true")]
    _push(_to_openai(heard), 529, headers, BUSY[:20], BUSY[20:])
    assert heard.head is not None and heard.head[1] == 503
    assert heard.head[2][b"x-request-id"] == b"req_1" and heard.head[2][b"retry-after"] == b"7"
    assert heard.head[2][b"x-should-retry"] == b"true"
    assert json.loads(heard.body)["error"] | {"param": None} == {
        "message": "Overloaded", "type": "overloaded_error", "param": None, "code": "overloaded"
    }  # fmt: skip
    back = Heard()
    _push(_to_anthropic(back), 429, [*JSON, (b"x-request-id", b"req_2")], LIMITED)
    assert back.head is not None and (back.head[1], back.head[2][b"request-id"]) == (429, b"req_2")
    assert json.loads(back.body) == {"type": "error", "error": {"type": "rate_limit_error", "message": "Too fast"}}


def test_an_error_that_is_no_json_is_one_all_the_same() -> None:
    heard = Heard()
    _push(_to_anthropic(heard), 502, [(b"content-type", b"text/html")], b"<h1>Bad gateway</h1>")
    assert heard.head is not None and heard.head[1] == 502
    assert "Bad gateway" in json.loads(heard.body)["error"]["message"]


def test_limits_are_told_in_the_callers_words() -> None:
    theirs = {
        b"anthropic-ratelimit-requests-limit": b"50",
        b"anthropic-ratelimit-requests-remaining": b"49",
        b"anthropic-ratelimit-requests-reset": b"2025-11-21T18:06:00Z",
        b"anthropic-ratelimit-tokens-limit": b"80000",
        b"anthropic-ratelimit-tokens-remaining": b"79000",
        b"anthropic-ratelimit-tokens-reset": b"2025-11-21T19:00:01+00:00",
    }
    ours = {
        b"x-ratelimit-limit-requests": b"50",
        b"x-ratelimit-remaining-requests": b"49",
        b"x-ratelimit-reset-requests": b"6m0s",
        b"x-ratelimit-limit-tokens": b"80000",
        b"x-ratelimit-remaining-tokens": b"79000",
        b"x-ratelimit-reset-tokens": b"1h0m1s",
    }
    heard, back = Heard(), Heard()
    _push(_to_openai(heard), 200, [*EVENTS, *theirs.items()], b"", last=False)
    _push(_to_anthropic(back), 200, [*EVENTS, *ours.items()], b"", last=False)
    assert heard.head is not None and heard.head[2].items() >= ours.items()
    assert back.head is not None
    assert back.head[2].items() >= (theirs | {b"anthropic-ratelimit-tokens-reset": b"2025-11-21T19:00:01Z"}).items()


@pytest.mark.parametrize(
    ("written", "time"),
    [(b"1s", b"18:00:01"), (b"120ms", b"18:00:01"), (b"1m30.5s", b"18:01:31"), (b"2h", b"20:00:00"), (b"soon", b"")],
)
def test_durations(written: bytes, time: bytes) -> None:
    heard = Heard()
    _push(_to_anthropic(heard), 200, [*EVENTS, (b"x-ratelimit-reset-requests", written)], b"", last=False)
    assert heard.head is not None
    found = heard.head[2].get(b"anthropic-ratelimit-requests-reset", b"")
    assert found == (b"2025-11-21T%sZ" % time if time else b"")


def test_what_breaks_off_breaks_off_after_what_came() -> None:
    heard = Heard()
    sink = _to_anthropic(heard)
    chunk = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    _push(sink, 200, EVENTS, chunk, last=False)
    sink.fail(UpstreamTimeout("It was silent.", ""))
    assert b'"text":"hi"' in heard.body and isinstance(heard.ended, UpstreamTimeout)
    short = Heard()
    _push(_to_anthropic(short), 200, EVENTS, chunk, b"")
    assert isinstance(short.ended, UpstreamProtocolError), "it ended before the answer did"
    unbegun = Heard()
    sink = _to_openai(unbegun)
    _push(sink, 200, JSON, b'{"half', last=False)
    sink.fail(UpstreamTimeout("It was silent.", ""))
    assert unbegun.head is None and isinstance(unbegun.ended, UpstreamTimeout)


def test_what_cannot_be_translated_ends_the_call_and_nothing_is_heard_after() -> None:
    good = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    bad = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"audio":{"data":"AA"}}}]}\n\n'
    heard = Heard()
    sink = _to_anthropic(heard)
    _push(sink, 200, EVENTS, good + bad, last=False)
    assert b'"text":"hi"' in heard.body, "what came before it in the same read is passed on"
    assert isinstance(heard.ended, AnswerNotTranslatable) and heard.cancelled
    sink.data(good, False)
    sink.fail(UpstreamTimeout("late", ""))
    for kind in (JSON, [*JSON, (b"content-encoding", b"gzip")]):
        whole = Heard()
        _push(_to_openai(whole), 200, kind, b"<html>", b"</html>")
        assert whole.head is None and isinstance(whole.ended, AnswerNotTranslatable)


def test_long_lines_pass_and_endless_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "w" * 10_000_000
    document = {
        "id": "a",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": words}, "finish_reason": "stop"}],
    }
    line = b"data: " + json.dumps(document).encode() + b"\n\n"
    heard = Heard()
    pieces = [line[at : at + 65_536] for at in range(0, len(line), 65_536)]
    _push(_to_anthropic(heard), 200, EVENTS, *pieces, b"data: [DONE]\n\n")
    assert heard.ended is True and words.encode() in heard.body
    endless = Heard()
    sink = _to_anthropic(endless)
    sink.begin("up", 200, EVENTS)
    fed = 0
    while not endless.ended:
        sink.data(b"data: " + b"w" * 1_000_000, False)
        fed += 1
    assert fed <= 17 and isinstance(endless.ended, UpstreamProtocolError) and endless.cancelled
    monkeypatch.setattr(sinks, "MAX_WHOLE_BYTES", 1000)
    big = Heard()
    _push(_to_openai(big), 200, JSON, b" " * 600, b" " * 600, last=False)
    assert isinstance(big.ended, UpstreamProtocolError) and big.cancelled and big.head is None


def test_redirects_are_passed_on_and_left_out_fields_are_named() -> None:
    heard = Heard()
    _push(_to_openai(heard), 307, [(b"location", b"https://elsewhere")], b"gone")
    assert heard.head == ("up", 307, {b"location": b"https://elsewhere"}) and heard.body == b"gone"
    told = Heard()
    _push(_to_openai(told, dropped=("metadata", "store")), 200, EVENTS, b"", last=False)
    assert told.head is not None and told.head[2][b"x-freehold-dropped"] == b"metadata, store"
