"""Error envelopes, and bodies that are not what they should be: always one of our own errors, and a useful one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_documents import Json, anthropic, completion, encode, message, openai, typed
from translate_strategies import anthropic_answers, anthropic_requests, openai_answers, openai_requests, values
from translate_streams import anthropic_events, openai_chunks, sse

from freehold.domain.errors import FreeholdError, RequestError, TranslationError, UpstreamError
from freehold.upstreams.translate import (
    Options,
    StreamToAnthropic,
    StreamToOpenAI,
    answer_to_anthropic,
    answer_to_openai,
    error_to_anthropic,
    error_to_openai,
    request_to_anthropic,
    request_to_openai,
)
from freehold.upstreams.translate.errors import ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.anthropic_type)
def test_every_kind_of_error_there_and_back(row: Any) -> None:
    theirs = encode(typed("error", error={"type": row.anthropic_type, "message": "why"}, request_id="req_1"))
    there = error_to_openai(row.anthropic_status, theirs)
    assert there.status == row.openai_status
    kind = {"type": row.openai_type, "param": None, "code": row.openai_code}
    assert json.loads(there.body) == {"error": {"message": "why", **kind}}
    back = error_to_anthropic(there.status, there.body)
    assert back.status == row.anthropic_status
    assert json.loads(back.body) == typed("error", error={"type": row.anthropic_type, "message": "why"})


@pytest.mark.parametrize(
    ("status", "given", "expected", "kind"),
    [
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, 402, "billing_error"),
        (429, {"type": "tokens", "code": None}, 429, "rate_limit_error"),
        (404, {"type": "invalid_request_error", "code": "model_not_found"}, 404, "not_found_error"),
        (401, {"type": "invalid_request_error", "code": "x"}, 401, "authentication_error"),
        (422, {"code": 422}, 422, "invalid_request_error"),
        (502, None, 502, "api_error"),
    ],
)
def test_errors_of_openai_go_by_code_and_status(status: int, given: Any, expected: int, kind: str) -> None:
    found = error_to_anthropic(status, encode({"error": {"message": "x", **given} if given else "x"}))
    assert found.status == expected
    assert json.loads(found.body)["error"] == {"type": kind, "message": "x"}


def test_a_page_in_place_of_an_error() -> None:
    for translate in (error_to_openai, error_to_anthropic):
        found = translate(502, b"<html>\n" + b"x" * 5000 + b"\xff")
        assert found.status == 502
        told = json.loads(found.body)["error"]["message"]
        assert told.startswith("The upstream answered 502: <html> xxx")
        assert len(told) < 600
        assert json.loads(translate(503, b"").body)["error"]["message"] == "The upstream answered 503."


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"model": "m"', b'"\xff"', b"[" * 100_000])
def test_bodies_that_are_no_documents(body: bytes) -> None:
    for translate in (request_to_anthropic, request_to_openai):
        with pytest.raises(RequestError):
            translate(body)
    for answer in (answer_to_anthropic, lambda given: answer_to_openai(given, created=1)):
        with pytest.raises(UpstreamError):
            answer(body)


@st.composite
def _spoilt(draw: st.DrawFn, whole: st.SearchStrategy[Json]) -> Json:
    """A document with one value replaced by another, or left out."""
    document = copy.deepcopy(draw(whole))
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 4)):
            place = place[key]
        elif draw(st.booleans()):
            place[key] = draw(values | st.lists(values, max_size=2))
            return document
        else:
            del place[key]
            return document


WAYS: list[tuple[st.SearchStrategy[Json], Callable[[bytes], Any]]] = [
    (openai_requests, request_to_anthropic),
    (anthropic_requests, lambda body: request_to_openai(body, Options(extensions=True))),
    (openai_answers(), answer_to_anthropic),
    (anthropic_answers(), lambda body: answer_to_openai(body, created=1)),
]


@pytest.mark.parametrize(("whole", "translate"), WAYS, ids=["o-request", "a-request", "o-answer", "a-answer"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_spoilt_documents(whole: Any, translate: Any, data: st.DataObject) -> None:
    document = data.draw(_spoilt(whole))
    try:
        translate(json.dumps(document).encode())
    except FreeholdError as error:
        assert "`" in error.message, "it names the place"
        assert error.hint, "it says what to do"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_spoilt_streams(data: st.DataObject) -> None:
    whole = data.draw(st.booleans())
    if whole:
        events, stream = anthropic_events(data.draw, data.draw(anthropic_answers())), StreamToOpenAI(created=1)
    else:
        events, stream = openai_chunks(data.draw, data.draw(openai_answers())), StreamToAnthropic()
    place = data.draw(st.integers(0, len(events) - 1))
    event = events[place]
    if not isinstance(event, str):
        events[place] = data.draw(_spoilt(st.just(event)))
    try:
        stream.feed(sse(data.draw, events, named=False))
        stream.finish()
    except FreeholdError as error:
        assert error.hint


def _refused(translate: Callable[[bytes], Any], document: Json, path: str) -> None:
    with pytest.raises(TranslationError) as caught:
        translate(encode(document))
    assert f"`{path}`" in caught.value.message
    assert caught.value.hint


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (openai(temperature=1.2), "temperature"),
        (openai(max_tokens=6), "max_tokens"),
        (openai(user="a", safety_identifier="b"), "safety_identifier"),
        (openai(reasoning_effort="minimal"), "reasoning_effort"),
        (openai(service_tier="flex"), "service_tier"),
        (openai(messages=[{"role": "system", "content": "x"}]), "messages"),
        (
            openai(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
            "messages[1]",
        ),
        (
            openai(messages=[{"role": "user", "content": [typed("image_url", image_url={"url": "ftp://a/b"})]}]),
            "messages[0].content[0].image_url.url",
        ),
        (
            openai(
                messages=[
                    {"role": "user", "content": [typed("file", file={"file_data": "data:text/plain;base64,AA=="})]}
                ]
            ),
            "messages[0].content[0].file.file_data",
        ),
    ],
)
def test_values_that_anthropic_does_not_have(document: Json, path: str) -> None:
    _refused(request_to_anthropic, document, path)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (anthropic(top_k=3), "top_k"),
        (anthropic(thinking=typed("disabled"), output_config={"effort": "low"}), "output_config.effort"),
        (anthropic(tools=[typed("web_search_20250305", name="web_search")]), "tools[0].type"),
        (
            anthropic(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
            "messages[1]",
        ),
        (
            anthropic(
                messages=[{"role": "user", "content": [typed("text", text="x"), typed("tool_result", tool_use_id="c")]}]
            ),
            "messages[0].content[1]",
        ),
        (
            anthropic(
                messages=[
                    {
                        "role": "assistant",
                        "content": [typed("tool_use", id="c", name="f", input={}), typed("text", text="x")],
                    },
                    {"role": "user", "content": "x"},
                ]
            ),
            "messages[0].content",
        ),
    ],
)
def test_values_that_openai_does_not_have(document: Json, path: str) -> None:
    _refused(request_to_openai, document, path)


def test_what_the_operator_may_set() -> None:
    bare = openai()
    del bare["max_completion_tokens"]
    assert json.loads(request_to_anthropic(encode(bare)).body)["max_tokens"] == 16384
    assert json.loads(request_to_anthropic(encode(bare), Options(max_tokens=9)).body)["max_tokens"] == 9
    found = request_to_openai(encode(anthropic(top_k=3)), Options(max_tokens_field="max_tokens", extensions=True))
    assert json.loads(found.body) == {**bare, "max_tokens": 5, "top_k": 3}


def test_what_the_way_back_must_know() -> None:
    asked = request_to_anthropic(encode(openai(stream=True, stream_options={"include_usage": True})))
    assert (asked.stream, asked.include_usage) == (True, True)
    plain = request_to_anthropic(encode(openai(stream=True)))
    assert (plain.stream, plain.include_usage) == (True, False)
    assert json.loads(request_to_openai(encode(anthropic(stream=True))).body)["stream_options"]["include_usage"] is True


def test_what_is_left_out_is_told() -> None:
    found = request_to_anthropic(encode(openai(store=True, metadata={"k": "v"}, seed=None)))
    assert found.dropped.keys() == {"store", "metadata"}
    assert all(why.endswith(".") for why in found.dropped.values())


def test_a_forced_call_and_a_refusal_end_as_anthropic_says() -> None:
    forced = json.loads(answer_to_anthropic(encode(completion({"tool_calls": [CALL]}))).body)
    assert forced["stop_reason"] == "tool_use"
    refused = json.loads(answer_to_anthropic(encode(completion({"content": None, "refusal": "no"}))).body)
    assert refused["stop_reason"] == "refusal"
    assert refused["stop_details"]["explanation"] == "no"
    assert refused["content"] == []


def test_texts_of_an_answer_are_joined() -> None:
    whole = message(typed("text", text="a"), typed("text", text="b"))
    assert json.loads(answer_to_openai(encode(whole), created=1).body)["choices"][0]["message"]["content"] == "ab"
