"""An upstream's errors, and the gateway's own, as each client's own errors."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anthropic
import openai
import pytest
from clients.cases import Client
from clients.table import ANTHROPIC, OPENAI, TRANSLATED, Row
from provider import Provider
from running import running_gateway

HELLO: Any = [{"role": "user", "content": "hello"}]
CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
}
"""What both providers' libraries call their errors; LiteLLM took over the names."""
STRANDED = """
[upstreams.{name}]
base_url = "{nobody}"
models = ["{name}"]
retries = 0
"""
DEAD = ("gpt-dead-False", "gpt-dead-True", "claude-dead")
"""Models of an upstream each: after some failures one rests, and says so instead."""


def cases(rows: Sequence[Row]) -> list[object]:
    return [
        pytest.param(row, status, stream, id=f"{row.name}-{status}{'-streamed' if stream else ''}")
        for row in rows
        for status in CLASSES
        for stream in (False, True)
        if (
            row.name != "llm" or status == 404
        )  # a process each, it says no more than the message, and tries others again
        and (row.name, status) != ("litellm-messages", 403)  # which it takes for a lost connection
    ]


@pytest.mark.parametrize(("row", "status", "stream"), cases([*OPENAI, *ANTHROPIC, *TRANSLATED]))
def test_upstream_error(client: Callable[[Row], Client], row: Row, status: int, stream: bool) -> None:
    found = client(row).fail(status, stream)
    assert f"error {status}" in found["message"], found
    if "classes" in row.errors:
        assert class_of(row, status) in found["classes"]
    if "status" in row.errors:
        assert found["status"] == status
    if "retry_after" in row.errors:
        assert found["retry_after"] == ("7" if status == 429 else None)


def class_of(row: Row, status: int) -> str:
    """How its error is called, or what that inherits from."""
    if row.name.startswith("vercel"):
        return "AI_APICallError"
    return "APIError" if row.name.startswith("litellm") and status == 403 else CLASSES[status]


def test_a_wrong_key_is_the_providers_to_refuse(gateway: str) -> None:
    with openai.OpenAI(base_url=f"{gateway}/v1", api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.chat.completions.create(model="gpt-test", messages=HELLO)
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.responses.create(model="gpt-test", input="hello")


def test_clients_wait_as_they_are_told_and_try_again(gateway: str, provider: Provider) -> None:
    """`retry-after` reaches the library: it waits for no less."""
    waited: list[float] = []

    class Patient(openai.OpenAI):
        def _calculate_retry_timeout(self, *given: Any, **more: Any) -> float:
            waited.append(super()._calculate_retry_timeout(*given, **more))
            return 0.0

    before = len(provider.seen)
    client = Patient(base_url=f"{gateway}/v1", api_key="sk-test", max_retries=1)
    with client, pytest.raises(openai.RateLimitError):
        client.responses.create(model="gpt-test", input="error 429")
    assert waited == [7.0]
    assert len(provider.seen) == before + 2


@pytest.fixture(scope="module")
def stranded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway whose only upstreams are not there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    upstreams = [STRANDED.format(name=name, nobody=nobody) for name in DEAD]
    with running_gateway(tmp_path_factory.mktemp("stranded"), "\n".join(["[gateway]\nport = 0", *upstreams])) as url:
        yield url


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateways_own_errors_are_openai_errors(stranded: str, stream: bool) -> None:
    with openai.OpenAI(base_url=f"{stranded}/v1", api_key="sk-test", max_retries=0) as client:
        asks: list[Callable[[str], object]] = [
            lambda model: client.chat.completions.create(model=model, messages=HELLO, stream=stream),
            lambda model: client.responses.create(model=model, input="hello", stream=stream),
            lambda model: client.completions.create(model=model, prompt="hello", stream=stream),
        ]
        with pytest.raises(openai.NotFoundError) as unknown:
            asks[0]("strange")
        assert (unknown.value.type, unknown.value.code) == ("invalid_request_error", "model_not_found")
        for ask in asks:
            with pytest.raises(openai.InternalServerError) as dead:
                ask(f"gpt-dead-{stream}")
            assert (dead.value.status_code, dead.value.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateways_own_errors_are_anthropic_errors(stranded: str, stream: bool) -> None:
    with anthropic.Anthropic(base_url=stranded, api_key="sk-test", max_retries=0) as client:
        for model, kind, status in (
            ("strange", anthropic.NotFoundError, 404),
            ("claude-dead", anthropic.APIError, 502),
        ):
            with pytest.raises(kind) as refused:
                client.messages.create(model=model, max_tokens=9, messages=HELLO, stream=stream)
            error = refused.value
            assert isinstance(error, anthropic.APIStatusError)
            assert error.status_code == status
            body: Any = error.body
            assert body["type"] == "error"
            assert body["error"]["type"] == ("not_found_error" if status == 404 else "api_error")
            assert model in body["error"]["message"] or "upstream" in body["error"]["message"].lower()
