"""The provider for tests says what the real ones' libraries would: its answers fit their own types."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from clients.anthropic_python import messages_request
from clients.cases import CHAT, INPUTS, MESSAGES, RESPONSES, Json
from clients.chat_requests import chat_request
from clients.openai_python import responses_request
from openai.types import Completion, CreateEmbeddingResponse, FileObject, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from provider import Provider, Seen
from provider.server import Answer, reply
from pydantic import TypeAdapter

HEADERS = [("authorization", "Bearer sk-test"), ("content-type", "application/json")]


def answered(path: str, body: Json | None = None, method: str = "POST") -> Answer:
    return reply(Seen(method, path, HEADERS, b"" if body is None else json.dumps(body).encode()))


def documents(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer.body
    if not answer.events:
        return [json.loads(answer.body)]
    data = [event.decode().partition("data: ")[2].rstrip("\n") for event in answer.events]
    return [json.loads(text) for text in data if text != "[DONE]"]


SCHEMA = {"type": "json_schema", "name": "answer", "schema": INPUTS["schema"]}
REQUESTS = [
    *(("/v1/chat/completions", chat_request(feature, "gpt-test")) for feature in sorted(CHAT)),
    *(("/v1/responses", responses_request(feature)) for feature in sorted(RESPONSES)),
    ("/v1/responses", {**responses_request("structured"), "text": {"format": SCHEMA}}),
    *(("/v1/messages", messages_request(feature, "claude-test")) for feature in sorted(MESSAGES)),
    ("/v1/completions", {"model": "text-test", "prompt": "Once", "n": 2, "stream_options": {"include_usage": True}}),
]
TYPES: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (ChatCompletion, ChatCompletionChunk),
    "/v1/responses": (Response, ResponseStreamEvent),
    "/v1/messages": (Message, RawMessageStreamEvent),
    "/v1/completions": (Completion, None),  # its type knows no events: in these, finish_reason is null but at the end
}
adapter = functools.cache(TypeAdapter)


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_answers_fit_the_libraries_types(path: str, body: Json) -> None:
    whole, event = TYPES[path]
    (document,) = documents(answered(path, body))
    adapter(whole).validate_python(document)
    events = documents(answered(path, {**body, "stream": True}))
    assert len(events) > 3
    for found in events:
        if event is not None and found != {"type": "ping"}:
            adapter(event).validate_python(found)


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/models/gpt-test", Model, None),
        ("/v1/files/file-1", FileObject, None),
        ("/v1/responses/resp_1", Response, None),
        ("/v1/responses/resp_1/input_items", ResponseItemList, None),
        ("/v1/embeddings", CreateEmbeddingResponse, {"model": "text-test", "input": ["a", "bc"]}),
        (
            "/v1/messages/count_tokens",
            MessageTokensCount,
            {"model": "c", "messages": [{"role": "user", "content": "a"}]},
        ),
    ],
)
def test_other_answers_fit_too(path: str, kind: Any, body: Json | None) -> None:
    (document,) = documents(answered(path, body, "GET" if body is None else "POST"))
    adapter(kind).validate_python(document)


def test_what_is_no_request_is_refused_in_the_protocols_own_shape(provider: Provider) -> None:
    refused = answered("/v1/chat/completions", {"model": "gpt-test", "messages": "?"})
    assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, "messages")
    refused = answered("/v1/messages", {"model": "claude-test", "messages": []})
    assert (refused.status, json.loads(refused.body)["type"]) == (400, "error")
    assert answered("/v1/nothing", {}).status == 404
