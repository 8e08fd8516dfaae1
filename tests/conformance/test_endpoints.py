"""Endpoints beside the three that converse: completions, embeddings, models, files, audio, stored responses, others."""

from __future__ import annotations

import io
from typing import Any

import anthropic
import openai
import pytest
from clients.anthropic_python import Messages
from clients.cases import USAGE, WAV
from clients.process import Child
from provider import Provider
from provider.others import MODELS
from provider.script import digest
from provider.server import SOUND


@pytest.fixture(scope="module")
def client(gateway: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="sk-test", max_retries=0, timeout=20)


def test_completions(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "text-test", "prompt": "Es war", "n": 2, "echo": True, "suffix": "."}
    whole = client.completions.create(**asked)
    assert [choice.text for choice in whole.choices] == ["Es war …und weiter 👋"] * 2
    assert whole.usage is not None and [whole.usage.prompt_tokens, whole.usage.completion_tokens] == USAGE
    texts, usage = ["", ""], None
    for chunk in client.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert usage == whole.usage


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings(client: openai.OpenAI, provider: Provider, form: Any) -> None:
    found = client.embeddings.create(model="text-test", input=["ab", "ü"], encoding_format=form, dimensions=3, user="u")
    assert provider.last.json == {
        "model": "text-test",
        "input": ["ab", "ü"],
        "encoding_format": form,
        "dimensions": 3,
        "user": "u",
    }
    vectors = [row.embedding for row in found.data]
    if form == "base64":
        assert all(isinstance(vector, str) for vector in vectors)
    else:
        assert vectors == [[2.0, 97.0, 98.0], [1.0, 252.0]]


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= set(MODELS)
    assert client.models.retrieve("gpt-test").owned_by == "provider"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("strange")


def test_stored_responses(client: openai.OpenAI, provider: Provider) -> None:
    assert client.responses.retrieve("resp_1", include=["message.output_text.logprobs"]).output_text == "stored"
    assert provider.last.target == "/v1/responses/resp_1?include[]=message.output_text.logprobs" or (
        provider.last.target == "/v1/responses/resp_1?include%5B%5D=message.output_text.logprobs"
    )
    assert [item.id for item in client.responses.input_items.list("resp_1", limit=5, order="asc")] == ["msg_0"]
    assert client.responses.cancel("resp_1").status == "completed"
    client.responses.delete("resp_1")
    assert (provider.last.method, provider.last.target) == ("DELETE", "/v1/responses/resp_1")


def test_files(client: openai.OpenAI) -> None:
    lines = b'{"a": "\xc3\xbc"}\n' * 3000
    sent = client.files.create(file=("übung.jsonl", io.BytesIO(lines)), purpose="batch")
    assert (sent.bytes, sent.purpose) == (len(lines), "batch")
    assert [file.id for file in client.files.list(limit=3)] == ["file-1"]
    assert client.files.content("file-1").read() == SOUND
    assert client.files.delete("file-1").deleted


def test_audio(client: openai.OpenAI) -> None:
    heard = client.audio.transcriptions.create(model="gpt-test", file=("a.wav", io.BytesIO(WAV)))
    assert heard.text == f"a.wav {digest(WAV)}"
    assert client.audio.speech.create(model="gpt-test", voice="alloy", input="Hallo").read() == SOUND


def test_unknown_endpoints(client: openai.OpenAI) -> None:
    """An endpoint of tomorrow, with a method, a query and a body that nobody has read about today."""
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = None if method == "GET" else {"model": "gpt-test", "new": [1, {"deep": None}]}
        path = f"/unknown/{method}/a%2Fb;c=d/x?q=1&q=2&empty=&raw=%C3%BC"
        found: Any = client.request(
            cast_to=object,
            options=openai._models.FinalRequestOptions.construct(method=method, url=path, json_data=body),
        )
        assert found["method"] == method
        assert found["target"].startswith(f"/v1/unknown/{method}/a%2Fb;c=d/x?")


def test_counting_tokens(gateway: str, provider: Provider) -> None:
    assert Messages(gateway).count() == 11
    assert provider.last.target == "/v1/messages/count_tokens"


def test_anthropics_models(gateway: str) -> None:
    """Anthropic's library lists models at the address at which OpenAI's does."""
    with anthropic.Anthropic(base_url=gateway, api_key="sk-test", max_retries=0) as client:
        assert client.models.list().data


def test_embeddings_of_other_languages_and_libraries(node: Child, litellm_process: Child) -> None:
    for child, name in ((node, "openai-embeddings"), (node, "vercel-embeddings"), (litellm_process, "embeddings")):
        assert child.ask(client=name, feature="embed", stream=False) == {
            "outcome": {"vectors": [[2, 97, 98], [1, 252]]}
        }
