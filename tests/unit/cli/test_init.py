"""`freehold init`: every variant, and a template that tells the truth about the defaults."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from cli_fixtures import Run

from freehold.cli.init import render
from freehold.config import LoopSettings, Settings, UpstreamSettings, load_settings


def uncommented(text: str) -> str:
    """The template with every commented setting and table in force."""
    return re.sub(r'^# (?=\[|"?[a-z_-]+"? = )', "", text, flags=re.M)


def test_every_commented_setting_shows_its_default() -> None:
    text = uncommented(render("https://api.openai.com/v1", "", "openai", None, 8484))
    shown = tomllib.loads(text)
    given = msgspec.convert(shown, Settings)  # every key is one that exists
    defaults = Settings(upstreams={"openai": UpstreamSettings(base_url="https://api.openai.com/v1")})
    assert given.gateway == defaults.gateway
    assert msgspec.structs.replace(given.loop, audit_dollars_per_day=None) == defaults.loop, "no cap cannot be written"
    assert given.control == defaults.control
    assert given.data_dir == defaults.data_dir
    upstream = given.upstreams["openai"]
    assert msgspec.structs.replace(upstream, models=(), prices={}) == defaults.upstreams["openai"]
    missing = {
        name: set(msgspec.structs.asdict(defaults_of)) - set(table)
        for name, defaults_of, table in (
            ("gateway", defaults.gateway, shown["gateway"]),
            ("loop", LoopSettings(), shown["loop"]),
            ("upstream", defaults.upstreams["openai"], shown["upstreams"]["openai"]),
            ("all", defaults, shown),
        )
    }
    assert missing == {"gateway": set(), "loop": set(), "upstream": set(), "all": set()}, "a setting is not shown"
    assert set(shown["tasks"]["triage"]) == {"epsilon", "delta", "audit_rate", "move"}
    assert given.tasks["triage"].move


def test_flags_write_a_file_that_loads(tmp_path: Path, run: Run) -> None:
    target = tmp_path / "freehold.toml"
    flags = ["--base-url", "https://llm.example.test/v1", "--openai-key-env", "NO_SUCH_KEY", "--port", "9001"]
    code, out, _ = run("init", "--file", str(target), "--terms", "own", *flags)
    assert code == 0 and "freehold up" in out and "export NO_SUCH_KEY=" in out
    settings = load_settings(target)
    assert settings.gateway.port == 9001
    [(name, upstream)] = settings.upstreams.items()
    assert (name, upstream.api_key_env, upstream.terms) == ("llm", "NO_SUCH_KEY", "own")
    assert settings.data == tmp_path / "freehold-data"


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path, run: Run) -> None:
    target = tmp_path / "freehold.toml"
    target.write_text("mine")
    code, out, err = run("init", "--file", str(target), "--base-url", "http://127.0.0.1:9/v1")
    assert (code, out) == (2, "") and "exists" in err and "--force" in err
    assert target.read_text() == "mine"
    code, out, _ = run("init", "--file", str(target), "--base-url", "http://127.0.0.1:9/v1", "--force", "--json")
    said = json.loads(out)
    assert code == 0 and said["file"] == str(target) and "set `terms`" in said["open_points"][0]
    assert load_settings(target).upstreams[said["upstream"]].base_url == "http://127.0.0.1:9/v1"


def test_print_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "--print")
    assert code == 0 and not list(tmp_path.iterdir())
    assert msgspec.convert(tomllib.loads(out), Settings).upstreams["openai"].base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--name", "Has Space"], "cannot name an upstream"),
        (["--terms", "nobody"], "Nothing is known of terms 'nobody'"),
        (["--base-url", "ftp://x"], "http://"),
        (["--base-url", 'https://x/"\nport = 1'], "quotes and control characters"),
        (["--openai-key-env", 'A"B'], "quotes and control characters"),
        (["--file", "/no/such/folder/freehold.toml"], "cannot be written"),
    ],
)
def test_what_cannot_work_is_refused(
    flags: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("init", *flags)
    assert (code, out) == (2, "") and says in err
    assert not list(tmp_path.iterdir()), "a file that does not load was left behind"
    code, out, _ = run("init", *flags, "--json")
    assert code == 2 and set(json.loads(out)["error"]) == {"code", "message", "hint"}
