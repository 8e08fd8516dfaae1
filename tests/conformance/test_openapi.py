"""Whatever the providers' descriptions allow, or nearly allow, the gateway answers as the provider would.

Schemathesis generates requests from the description, valid ones and broken ones. Where a request reaches the provider,
the answer comes back byte for byte; where it does not, the refusal is ours: a client's error, in the shape of the
protocol, never a 5xx, never a hang.
"""

from __future__ import annotations

import functools
import http.client
import json
from typing import Any

import pytest
import schemathesis
from anthropic.types import Message, MessageTokensCount
from description import GETS, POSTS, description
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from provider import Provider
from provider.server import reply
from pydantic import TypeAdapter
from schemathesis import GenerationMode

HEADERS = {"authorization": "Bearer sk-test", "anthropic-version": "2023-06-01"}
ANTHROPIC = ("/v1/messages", "/v1/messages/count_tokens")
EXAMPLES = {"/v1/messages": 8, "/v1/messages/count_tokens": 4, "/v1/responses": 12}
"""Where requests take long to generate."""
few = settings(
    max_examples=20,
    derandomize=True,
    phases=[Phase.generate],  # shrinking a request of this description takes minutes
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@functools.cache
def operation(path: str, method: str) -> Any:
    return _schema()[path][method]


@functools.cache
def _schema() -> Any:
    return schemathesis.openapi.from_dict(description())


def ask(gateway: str, path: str, case: Any, model: str | None = None) -> Any:
    """The gateway's answer; `model` in place of the generated one where there is one to replace."""
    if model is not None and isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = model
    headers = HEADERS if path in ANTHROPIC else {"authorization": HEADERS["authorization"]}
    return case.call(base_url=gateway, headers=headers, timeout=20)


def check(provider: Provider, path: str, before: int, answer: Any) -> None:
    """As the provider answered, or refused in the protocol's own shape."""
    if len(provider.seen) > before:
        told = reply(provider.last)
        assert (answer.status_code, answer.content) == (told.status, told.body)
        assert answer.headers["content-type"] == [told.content_type]
    else:
        refused(path, answer)


def refused(path: str, answer: Any) -> None:
    """An error of ours, and the caller's fault."""
    assert 400 <= answer.status_code < 500, answer.content
    assert answer.headers["content-type"] == ["application/json"]
    document = json.loads(answer.content)
    if path in ANTHROPIC:
        assert document["type"] == "error"
    assert document["error"]["message"] and document["error"]["type"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "broken"])
@pytest.mark.parametrize("path", POSTS)
def test_requests_of_the_description(gateway: str, provider: Provider, path: str, mode: GenerationMode) -> None:
    """A model's name is generated for OpenAI's endpoints; Anthropic's need one that its upstream serves."""
    model = "claude-test" if path in ANTHROPIC else None

    @settings(few, max_examples=EXAMPLES.get(path, 20))
    @given(case=operation(path, "POST").as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        before = len(provider.seen)
        answer = ask(gateway, path, case, model)
        check(provider, path, before, answer)

    run()


@pytest.mark.parametrize("path", GETS)
def test_names_in_paths(gateway: str, provider: Provider, path: str) -> None:
    @few
    @given(case=operation(path, "GET").as_strategy())
    def run(case: Any) -> None:
        before = len(provider.seen)
        answer = ask(gateway, path, case)
        check(provider, path, before, answer)

    run()


TRANSLATED = {
    "/v1/chat/completions": ("claude-test", ChatCompletion),
    "/v1/messages": ("gpt-test", Message),
    "/v1/messages/count_tokens": ("gpt-test", MessageTokensCount),
}


@pytest.mark.parametrize("path", TRANSLATED)
def test_translated_requests_of_the_description(gateway: str, provider: Provider, path: str) -> None:
    """To an upstream of the other protocol: an answer of the caller's own protocol, or a refusal in its shape."""
    model, kind = TRANSLATED[path]
    adapter = TypeAdapter[Any](kind)

    @settings(few, max_examples=EXAMPLES.get(path, 20))
    @given(case=operation(path, "POST").as_strategy())
    def run(case: Any) -> None:
        answer = ask(gateway, path, case, model)
        if answer.status_code == 200:
            adapter.validate_json(answer.content)
        else:
            refused(path, answer)

    run()


@few
@given(body=st.binary(max_size=200), path=st.sampled_from(sorted(POSTS)))
def test_bodies_that_are_no_json(gateway: str, provider: Provider, path: str, body: bytes) -> None:
    before = len(provider.seen)
    connection = http.client.HTTPConnection(gateway.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", path, body, {**HEADERS, "content-type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    assert len(provider.seen) in (before, before + 1)
    assert 400 <= response.status < 500, content
    assert json.loads(content)["error"]["message"]
