"""Keys that Freehold gave out, as clients know keys: what they allow, what they forbid, and what is left of a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from provider import Provider
from running import CONFIG, running_gateway

HELLO: Any = [{"role": "user", "content": "hello"}]
ENVIRONMENT = {"PROVIDER_KEY": "sk-providers"}
ACCESS = """
[access]
required = true
"""


@dataclass(frozen=True)
class Keyed:
    """A gateway that asks for keys, and two of them."""

    url: str
    any_model: str
    once: str
    """Two requests a minute, of one model."""


def create(folder: Path, name: str, *limits: str) -> str:
    command = [sys.executable, "-m", "freehold.cli.main", "keys", "create", name, *limits, "--json"]
    command += ["--config", str(folder / "freehold.toml")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["key"]


@pytest.fixture(scope="module")
def keyed(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    config = CONFIG.replace("retries = 0", 'retries = 0\napi_key_env = "PROVIDER_KEY"').format(provider=provider)
    (folder / "freehold.toml").write_text(config + ACCESS)
    any_model, once = create(folder, "all"), create(folder, "few", "--rpm", "2", "--models", "gpt-*")
    with running_gateway(folder, config + ACCESS, ENVIRONMENT) as url:
        yield Keyed(url, any_model, once)


def openai_client(keyed: Keyed, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=key, max_retries=0, timeout=20)


def anthropic_client(keyed: Keyed, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=keyed.url, api_key=key, max_retries=0, timeout=20)


def test_a_key_opens_and_goes_no_further(keyed: Keyed, provider: Provider) -> None:
    with openai_client(keyed, keyed.any_model) as client:
        assert client.chat.completions.create(model="gpt-test", messages=HELLO).choices[0].message.content
        assert provider.last.header("authorization") == "Bearer sk-providers"
        assert client.responses.create(model="gpt-test", input="hello").output_text
        assert client.chat.completions.create(model="claude-test", messages=HELLO).choices[0].message.content
    with anthropic_client(keyed, keyed.any_model) as client:
        assert client.messages.create(model="claude-test", max_tokens=9, messages=HELLO).content
        assert provider.last.header("x-api-key") == "sk-providers"
        assert client.messages.create(model="gpt-test", max_tokens=9, messages=HELLO).content
    secrets = [value for seen in provider.seen for _, value in seen.headers if keyed.any_model in value]
    assert not secrets, "a key of ours reached the provider"


def test_without_a_key_or_with_a_wrong_one(keyed: Keyed, provider: Provider) -> None:
    before = len(provider.seen)
    for key in ("sk-providers", "fh-made-up", keyed.any_model[:-1]):
        with openai_client(keyed, key) as client, pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="gpt-test", messages=HELLO, stream=True)
        assert key not in str(refused.value)
        with anthropic_client(keyed, key) as client, pytest.raises(anthropic.AuthenticationError) as told:
            client.messages.create(model="claude-test", max_tokens=9, messages=HELLO)
        body: Any = told.value.body
        assert body["error"]["type"] == "authentication_error"
    assert len(provider.seen) == before


def test_models_and_limits_of_a_key(keyed: Keyed) -> None:
    with openai_client(keyed, keyed.once) as client:
        with pytest.raises(openai.PermissionDeniedError, match="claude-test"):
            client.chat.completions.create(model="claude-test", messages=HELLO)
        first = client.chat.completions.with_raw_response.create(model="gpt-test", messages=HELLO)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        answers = [first]
        with pytest.raises(openai.RateLimitError) as limited:  # at the turn of a minute, two more may pass
            while len(answers) < 6:
                answers.append(client.chat.completions.with_raw_response.create(model="gpt-test", messages=HELLO))
        assert 0 < float(limited.value.response.headers["retry-after"]) <= 60
        assert limited.value.code == "rate_limit_exceeded"
    with anthropic_client(keyed, keyed.once) as client:
        with pytest.raises(anthropic.PermissionDeniedError):
            client.messages.create(model="claude-test", max_tokens=9, messages=HELLO)
        with pytest.raises(anthropic.RateLimitError) as told:
            for _ in range(6):
                client.messages.create(model="gpt-test", max_tokens=9, messages=HELLO)
        body: Any = told.value.body
        assert body["error"]["type"] == "rate_limit_error"
