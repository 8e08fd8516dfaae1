"""Nothing is lost on the way: the provider gets the bytes that were sent, and the caller the bytes that came back."""

from __future__ import annotations

import http.client
import json
from typing import Any

import anthropic
import openai
import pytest
from clients.anthropic_python import messages_request
from clients.cases import Json
from clients.chat_requests import chat_request
from clients.openai_python import responses_request
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import Provider, Seen
from provider.server import reply

KEY = {"authorization": "Bearer sk-test"}
DEEP: Json = {"new": [1, 2.50, 1e300, {"deeper": [None, {"deepest": "ü\u0000\U0001f44b"}]}], "": ""}
CHAT: Json = {
    "response_format": {"type": "text"},
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 2,
    "user": "someone",
    "metadata": {"team": "a"},
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "verbosity": "low",
    "temperature": 0.5,
    "top_p": 0.9,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "logit_bias": {"1": -100},
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "stop": ["."],
    "store": True,
    "service_tier": "flex",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prediction": {"type": "content", "content": "x"},
    "modalities": ["text"],
    "web_search_options": {},
    "tool_choice": "auto",
    "functions": [],
    "function_call": "none",
    "n": 1,
    "x_unknown": DEEP,
    "usage": {"include": True},
    "provider": {"order": ["a"]},
}
RESPONSES: Json = {
    "background": False,
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 99,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "previous_response_id": "resp_0",
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "auto",
    "store": False,
    "temperature": 0.1,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": "auto",
    "top_logprobs": 3,
    "top_p": 0.3,
    "truncation": "auto",
    "user": "u",
    "x_unknown": DEEP,
}
MESSAGES: Json = {
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "stop_sequences": ["."],
    "temperature": 0.2,
    "top_k": 3,
    "top_p": 0.9,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "container": None,
    "mcp_servers": [],
    "x_unknown": DEEP,
}


def sent(
    gateway: str, method: str, target: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[Any, bytes]:
    """One request whose target goes out as it is."""
    connection = http.client.HTTPConnection(gateway.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, target, body, {**KEY, **headers})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


ENDPOINTS = [
    *(("/v1/chat/completions", chat_request("text", "gpt-test"), {name: value}) for name, value in CHAT.items()),
    *(("/v1/responses", responses_request("text"), {name: value}) for name, value in RESPONSES.items()),
    *(("/v1/messages", messages_request("text", "claude-test"), {name: value}) for name, value in MESSAGES.items()),
]


@pytest.mark.parametrize(
    ("path", "request_", "field"), ENDPOINTS, ids=[f"{p}-{next(iter(f))}" for p, _, f in ENDPOINTS]
)
def test_every_field_arrives_byte_for_byte(
    gateway: str, provider: Provider, path: str, request_: Json, field: Json
) -> None:
    """Spelled as no library would, so that nothing that reads and writes it again can pass."""
    body = json.dumps({**field, **request_, "stream": False}, indent=3, ensure_ascii="x_unknown" in field).encode()
    versions = {"anthropic-version": "2023-06-01"} if path == "/v1/messages" else {}
    response, answer = sent(gateway, "POST", path, {"content-type": "application/json", **versions}, body)
    assert response.status == 200, answer
    assert provider.last.body == body
    assert provider.last.target == path
    assert answer == reply(provider.last).body


def test_headers_and_query_pass_both_ways(gateway: str, provider: Provider) -> None:
    body = json.dumps(chat_request("text", "gpt-test")).encode()
    headers = {
        "content-type": "application/json; charset=utf-8",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj-1",
        "OpenAI-Beta": "assistants=v2",
        "X-Stainless-Lang": "python",
        "User-Agent": "someone/1.0",
        "X-Unknown": 'a, b;c="d"',
        "Idempotency-Key": "once",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
    }
    response, _ = sent(gateway, "POST", "/v1/chat/completions?api-version=2026-01-01&x=%20&x=", headers, body)
    seen = provider.last
    assert seen.target == "/v1/chat/completions?api-version=2026-01-01&x=%20&x="
    trace = seen.header("traceparent")
    assert trace is not None and trace.split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    for name, value in headers.items():
        if name != "traceparent":
            assert seen.header(name.lower()) == value, name
    assert seen.header("authorization") == "Bearer sk-test"
    assert not [name for name, _ in seen.headers if name.startswith("x-freehold")]
    for name in ("x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests"):
        assert response.getheader(name), name
    assert response.getheader("x-freehold-answered-by")


def test_anthropics_headers_pass_both_ways(gateway: str, provider: Provider) -> None:
    body = json.dumps(messages_request("text", "claude-test")).encode()
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "sk-caller"}
    headers["anthropic-beta"] = "one-2026-01-01,two-2026-01-01"
    response, _ = sent(gateway, "POST", "/v1/messages?beta=true", headers, body)
    assert response.status == 200
    seen = provider.last
    assert seen.target == "/v1/messages?beta=true"
    assert {name: seen.header(name) for name in headers} == headers
    assert response.getheader("request-id") == "req_1"
    assert response.getheader("anthropic-ratelimit-requests-remaining") == "99"


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
RESERVED = {"model", "messages", "stream", "input", "n", "tools", "stream_options", "response_format"}


@settings(max_examples=60)
@given(more=st.dictionaries(names.filter(lambda name: name not in RESERVED), values, max_size=4), spaces=st.booleans())
def test_any_unknown_fields_arrive(gateway: str, provider: Provider, more: Json, spaces: bool) -> None:
    for path, request in (
        ("/v1/chat/completions", chat_request("text", "gpt-test")),
        ("/v1/unknown/thing", {"model": "gpt-test"}),
    ):
        body = json.dumps({**more, **request}, ensure_ascii=False, indent=1 if spaces else None).encode()
        response, answer = sent(gateway, "POST", path, {"content-type": "application/json"}, body)
        assert provider.last.body == body
        assert (response.status, answer) == _told(provider.last)


@pytest.mark.parametrize("stream", [False, True])
def test_answers_come_byte_for_byte(gateway: str, provider: Provider, stream: bool) -> None:
    for path, request in (
        ("/v1/chat/completions", chat_request("tools", "gpt-test")),
        ("/v1/responses", responses_request("tools")),
        ("/v1/messages", messages_request("tools", "claude-test")),
        ("/v1/completions", {"model": "text-test", "prompt": "a"}),
    ):
        body = json.dumps({**request, "stream": stream}).encode()
        response, answer = sent(gateway, "POST", path, {"content-type": "application/json"}, body)
        told = reply(provider.last)
        assert response.getheader("content-type") == told.content_type
        assert answer == (b"".join(told.events) or told.body)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", None])
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_any_body_of_an_unknown_endpoint_arrives(gateway: str, provider: Provider, kind: str | None, size: int) -> None:
    body = bytes(n * 7 % 256 for n in range(size))
    _, answer = sent(gateway, "POST", "/v1/unknown/bytes", {"content-type": kind} if kind else {}, body)
    assert provider.last.body == body
    assert provider.last.header("content-type") == kind
    assert json.loads(answer)["length"] == size


def test_events_come_as_they_are_sent(gateway: str, provider: Provider) -> None:
    """The provider stops after its first event until the client has read it."""
    with (
        openai.OpenAI(base_url=f"{gateway}/v1", api_key="sk-test", max_retries=0, timeout=20) as openai_client,
        anthropic.Anthropic(base_url=gateway, api_key="sk-test", max_retries=0, timeout=20) as anthropic_client,
    ):
        hello: Any = [{"role": "user", "content": "hello"}]
        asks: list[Any] = [
            lambda: openai_client.chat.completions.create(model="gpt-test", messages=hello, stream=True),
            lambda: openai_client.responses.create(model="gpt-test", input="hello", stream=True),
            lambda: openai_client.completions.create(model="text-test", prompt="hello", stream=True),
            lambda: anthropic_client.messages.create(model="claude-test", max_tokens=9, messages=hello, stream=True),
            lambda: openai_client.chat.completions.create(model="claude-test", messages=hello, stream=True),
            lambda: anthropic_client.messages.create(model="gpt-test", max_tokens=9, messages=hello, stream=True),
        ]
        for ask in asks:
            provider.gate.clear()
            try:
                events = iter(ask())
                assert next(events)
            finally:
                provider.gate.set()
            assert len(list(events)) > 2


def _told(seen: Seen) -> tuple[int, bytes]:
    told = reply(seen)
    return told.status, told.body


ODD = {
    "half-of-a-letter": b'"cut in the middle of an emoji: \\ud83d"',  # what JavaScript makes of text.slice(0, n)
    "beyond-a-double": b"1e400",
    "long-number": b"1" * 400,
    "twice": b'1, "user": 2',
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"])
def test_json_that_not_everybody_reads_is_the_providers_to_judge(
    gateway: str, provider: Provider, path: str, value: bytes
) -> None:
    request = {
        "/v1/chat/completions": chat_request("text", "gpt-test"),
        "/v1/responses": responses_request("text"),
        "/v1/messages": messages_request("text", "claude-test"),
        "/v1/embeddings": {"model": "text-test", "input": "a"},
    }[path]
    body = b'{"user": %s, %s' % (value, json.dumps(request).encode()[1:])
    response, answer = sent(gateway, "POST", path, {"content-type": "application/json"}, body)
    assert (response.status, answer) == _told(provider.last)
    assert provider.last.body == body
    assert response.status == 200
