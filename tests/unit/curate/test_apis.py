"""Requests by Anthropic's Messages are samples like those by chat completions; requests by other APIs never are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from freehold.domain.errors import TranslationError
from freehold.domain.fingerprint import shape_of
from freehold.domain.traces import TASK_APIS, Api
from freehold.upstreams.translate import asked_of, chat_request, prompt_of

TURNS: list[dict[str, Any]] = [{"role": "user", "content": "Where is my card?"}]
CHAT = {"model": "m", "messages": [{"role": "system", "content": "Classify."}, *TURNS]}
MESSAGES = {"model": "m", "max_tokens": 9, "system": "Classify.", "messages": TURNS, "top_k": 1}


def test_both_say_the_same() -> None:
    chat, messages = msgspec.json.encode(CHAT), msgspec.json.encode(MESSAGES)
    assert prompt_of(chat, "chat") == prompt_of(messages, "messages") == "Where is my card?"
    assert shape_of(chat_request(chat, "chat")) == shape_of(chat_request(messages, "messages"))


def test_both_say_by_which_schema_they_are_to_be_answered() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "null"}}}
    form = {"type": "json_schema", "json_schema": {"name": "card", "schema": schema}}
    chat = msgspec.json.encode({**CHAT, "response_format": form})
    messages = msgspec.json.encode({**MESSAGES, "output_config": {"format": {"type": "json_schema", "schema": schema}}})
    asked = asked_of(chat, "chat")
    assert asked is not None and asked == asked_of(messages, "messages")
    assert msgspec.json.decode(asked.answer_schema) == schema
    any_object = asked_of(msgspec.json.encode({**CHAT, "response_format": {"type": "json_object"}}), "chat")
    assert any_object is not None and any_object.answer_schema == '{"type":"object"}'
    free = asked_of(msgspec.json.encode(CHAT), "chat")
    assert free is not None and free.answer_schema == ""


@pytest.mark.parametrize("api", ["responses", "completions", "embeddings", "other"])
def test_other_apis_are_no_chats_even_where_their_bodies_look_like_one(api: Api) -> None:
    assert api not in TASK_APIS
    with pytest.raises(TranslationError, match=api):
        chat_request(msgspec.json.encode(CHAT), api)
    assert prompt_of(msgspec.json.encode(CHAT), api) is None


def test_what_chat_completions_cannot_say_is_no_sample() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert prompt_of(msgspec.json.encode({**MESSAGES, "tools": [search]}), "messages") is None
