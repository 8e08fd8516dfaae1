"""`[upstreams.NAME]`: deployments, fallbacks with models, and what is refused; and what is built from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.config import load_settings
from freehold.domain.errors import ConfigError
from freehold.gateway.directory import build_directory
from freehold.upstreams.base import UpstreamRequest

WHOLE = """
[upstreams.cloud]
protocol = "openai"
models = ["gpt-*"]
api_key_env = "CLOUD_KEY"
fallbacks = ["local", { upstream = "claude", model = "claude-x" }]
hedge_after = 1.5
[[upstreams.cloud.deployments]]
base_url = "https://one.test/openai/v1"
weight = 3
[[upstreams.cloud.deployments]]
base_url = "https://two.test/v1"
api_key_env = "TWO_KEY"
[upstreams.local]
base_url = "http://127.0.0.1:8000/v1"
[upstreams.claude]
base_url = "https://api.anthropic.com/v1"
protocol = "anthropic"
api_key_env = "CLAUDE_KEY"
translate = { max_tokens = 100 }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "freehold.toml"
    path.write_text(text)
    return path


def test_all_of_it_reaches_the_upstreams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOUD_KEY", "TWO_KEY", "CLAUDE_KEY"):
        monkeypatch.setenv(name, f"sk-{name}")
    settings = load_settings(written(tmp_path, WHOLE))
    assert settings.upstreams["cloud"].base_url == "https://one.test/openai/v1", "whose terms and prices hold"
    directory = build_directory(settings.upstreams)
    cloud, claude = directory.entries["cloud"], directory.entries["claude"]
    assert cloud.fallbacks == (("local", ""), ("claude", "claude-x"))
    assert cloud.upstream.origin == "https://one.test:443 https://two.test:443"
    request = UpstreamRequest(
        method=b"POST", path=b"/chat/completions", headers=[], body=b"{}", authorization=b"Bearer theirs"
    )
    first, second = (deployment.head(request) for deployment in cloud.upstream.deployments)  # type: ignore[attr-defined]
    assert first.startswith(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: one.test\r\n")
    assert b"authorization: Bearer sk-CLOUD_KEY\r\n" in first and b"theirs" not in first
    assert b"authorization: Bearer sk-TWO_KEY\r\n" in second
    assert [deployment.weight for deployment in cloud.upstream.deployments] == [3, 1]  # type: ignore[attr-defined]
    assert b"x-api-key: sk-CLAUDE_KEY\r\n" in claude.upstream.deployments[0].head(request)  # type: ignore[attr-defined]
    assert {health.state for health in directory.health()} == {"closed"} and len(directory.health()) == 4


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "base_url ''"),
        ('base_url = "ftp://a"', "'ftp://a'"),
        ('base_url = "http://a/v1"\ndeployments = [{ base_url = "http://b/v1" }]', "both base_url and deployments"),
        ('deployments = [{ base_url = "b" }]', "'b'"),
        ('base_url = "http://a/v1"\nprotocol = "soap"', "protocol"),
        ('base_url = "http://a/v1"\nfallbacks = ["main"]', "'main', which is not another"),
        ('base_url = "http://a/v1"\nfallbacks = [{ upstream = "b" }]', "'b', which is not another"),
        ('base_url = "http://a/v1"\nhealth_path = "health"', "slash"),
        ('deployments = [{ base_url = "http://b/v1", weight = 0 }]', "weight"),
        ('base_url = "http://a/v1"\nbase = 1', "base"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(written(tmp_path, f"[upstreams.main]\n{lines}\n"))


@pytest.mark.parametrize(
    "lines", ['base_url = "http://a/v1"\nproxy = "socks5://p"', 'base_url = "http://u:secret@a/v1"']
)
def test_what_cannot_be_used_is_refused_when_it_is_built(tmp_path: Path, lines: str) -> None:
    settings = load_settings(written(tmp_path, f"[upstreams.main]\n{lines}\n"))
    with pytest.raises(ConfigError) as refused:
        build_directory(settings.upstreams)
    assert "secret" not in str(refused.value)
