"""Whatever an upstream sends, translating it never raises into the event loop: it ends whole, or fails and says why."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from test_translating_sinks import EVENTS, JSON, Heard
from translate_documents import Json
from translate_strategies import anthropic_answers, openai_answers
from translate_streams import anthropic_events, openai_chunks

from freehold.domain.errors import RequestError, UpstreamError
from freehold.upstreams.anthropic.sinks import ToAnthropic, ToOpenAI, Translating
from freehold.upstreams.translate import request_to_anthropic, request_to_openai

quick = settings(max_examples=25, deadline=None)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _spoilt(draw: Any, document: Any) -> Any:
    """The document with one value anywhere in it replaced by any other, or left out."""
    if isinstance(document, dict) and document and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(document)))
        rest = {key: value for key, value in document.items() if key != name}
        return rest if not draw(st.integers(0, 4)) else {**document, name: _spoilt(draw, document[name])}
    if isinstance(document, list) and document and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(document) - 1))
        return [*document[:place], _spoilt(draw, document[place]), *document[place + 1 :]]
    return draw(values)


def _ends(sink: Translating, heard: Heard, status: int, headers: Any, *chunks: bytes) -> None:
    sink.call = heard
    sink.begin("up", status, headers)
    for place, chunk in enumerate(chunks):
        sink.data(chunk, place == len(chunks) - 1)
    assert heard.ended is True or isinstance(heard.ended, UpstreamError)


def _sinks(heard: Heard) -> tuple[Translating, Translating]:
    return ToOpenAI(heard, created=7, include_usage=True), ToAnthropic(heard)


@quick
@given(st.binary(max_size=60), st.sampled_from([200, 201, 307, 400, 529]), st.booleans(), st.integers(0, 1))
def test_bytes(given_bytes: bytes, status: int, stream: bool, which: int) -> None:
    heard = Heard()
    _ends(_sinks(heard)[which], heard, status, EVENTS if stream else JSON, given_bytes, b"data: " + given_bytes)


@quick
@given(anthropic_answers(), st.data())
def test_spoilt_answers_of_anthropic(whole: Json, data: st.DataObject) -> None:
    heard, streamed = Heard(), Heard()
    _ends(_sinks(heard)[0], heard, 200, JSON, json.dumps(_spoilt(data.draw, whole)).encode())
    events = [event if isinstance(event, str) else json.dumps(event) for event in anthropic_events(data.draw, whole)]
    place = data.draw(st.integers(0, len(events) - 1))
    events[place] = json.dumps(_spoilt(data.draw, json.loads(events[place])))
    _ends(_sinks(streamed)[0], streamed, 200, EVENTS, *(f"data: {event}\n\n".encode() for event in events))


@quick
@given(openai_answers(), st.data())
def test_spoilt_answers_of_openai(whole: Json, data: st.DataObject) -> None:
    heard, streamed = Heard(), Heard()
    _ends(_sinks(heard)[1], heard, 200, JSON, json.dumps(_spoilt(data.draw, whole)).encode())
    chunks: list[Any] = [chunk for chunk in openai_chunks(data.draw, whole) if not isinstance(chunk, str)]
    place = data.draw(st.integers(0, len(chunks) - 1))
    chunks[place] = _spoilt(data.draw, chunks[place])
    events = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    _ends(_sinks(streamed)[1], streamed, 200, EVENTS, *(f"data: {event}\n\n".encode() for event in events))


CALL: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT: Json = {
    "model": "m",
    "stream": True,
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "stop": ["a"],
}
MESSAGES: Json = {
    "model": "m",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "4", "is_error": True}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "f"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "thinking": {"type": "adaptive"},
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spoilt_requests_are_translated_or_refused(data: st.DataObject) -> None:
    for document, translate in ((CHAT, request_to_anthropic), (MESSAGES, request_to_openai)):
        body = json.dumps(_spoilt(data.draw, _spoilt(data.draw, document))).encode()
        try:
            translate(body)
        except RequestError as error:
            assert error.message and error.hint
