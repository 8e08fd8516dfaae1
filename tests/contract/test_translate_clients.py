"""The providers' own libraries put our streams together to what our whole answers say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_documents import Json
from translate_strategies import anthropic_answers, openai_answers
from translate_streams import anthropic_events, openai_chunks, parsed, sse

from freehold.upstreams.translate import StreamToAnthropic, StreamToOpenAI, answer_to_anthropic, answer_to_openai

few = settings(max_examples=20, deadline=None)


@few
@given(anthropic_answers(), st.data())
def test_openai_library(whole: Json, data: st.DataObject) -> None:
    pytest.importorskip("openai")
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    stream = StreamToOpenAI(created=7, include_usage=True)
    sent = stream.feed(sse(data.draw, anthropic_events(data.draw, whole), named=True)) + stream.finish()
    state = ChatCompletionStreamState()
    for chunk in parsed(sent)[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    found = state.current_completion_snapshot
    expected = ChatCompletion.model_validate_json(answer_to_openai(json.dumps(whole).encode(), created=7).body)
    assert _said(found.choices[0]) == _said(expected.choices[0])
    assert found.usage is not None
    assert expected.usage is not None
    assert found.usage.model_dump() == expected.usage.model_dump()


def _said(choice: Any) -> tuple[Any, ...]:
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()]
    return choice.message.content or None, choice.message.refusal, choice.finish_reason, calls


@few
@given(openai_answers(), st.data())
def test_anthropic_library(whole: Json, data: st.DataObject) -> None:
    library = pytest.importorskip("anthropic", reason="Anthropic's library is not installed")
    from pydantic import TypeAdapter

    event_type = TypeAdapter(library.types.RawMessageStreamEvent)
    accumulate = pytest.importorskip("anthropic.lib.streaming._messages").accumulate_event
    stream = StreamToAnthropic()
    sent = stream.feed(sse(data.draw, openai_chunks(data.draw, whole), named=False)) + stream.finish()
    found: Any = None
    buffers: dict[int, bytes] = {}
    for event in parsed(sent):
        if event["type"] != "ping":
            event = event_type.validate_python(event)
            found = accumulate(event=event, current_snapshot=found, json_bufs=buffers)
    expected = library.types.Message.model_validate_json(answer_to_anthropic(json.dumps(whole).encode()).body)
    assert _kept(found) == _kept(expected)


def _kept(message: Any) -> Json:
    return json.loads(message.model_dump_json(exclude_none=True, exclude={"content": {"__all__": {"parsed_output"}}}))
