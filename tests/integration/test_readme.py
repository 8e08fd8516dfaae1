"""What the README and the gateway's page show is run: Python against a real gateway, commands against a real folder."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from freehold.cli.main import COMMANDS
from freehold.config import GatewaySettings, Settings, UpstreamSettings
from freehold.gateway import serve_in_thread
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers
from freehold.upstreams.recorded import serve_in_thread as serve_recorded

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GATEWAY = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "freehold.cli.main", *shlex.split(command)[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    answers = RecordedAnswers([RecordedAnswer(prompt="The warehouse is flooded!", response="yes", model="gpt-4o-mini")])
    examples = blocks("python")
    assert examples
    with serve_recorded(answers) as incumbent:
        settings = Settings(
            gateway=GatewaySettings(port=0),
            upstreams={"openai": UpstreamSettings(base_url=incumbent.base_url)},
            data_dir=str(tmp_path / "data"),
        )
        with serve_in_thread(settings) as gateway:
            for example in examples:
                assert "http://127.0.0.1:8484" in example
                said = io.StringIO()
                with redirect_stdout(said):
                    exec(example.replace("http://127.0.0.1:8484", gateway.url), {})
                assert said.getvalue() == "openai/gpt-4o-mini yes\n"


def test_commands_run(tmp_path: Path) -> None:
    """Those that end by themselves are run in a new folder; `doctor` finds that there is no network, and says so."""
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    ours = [command for command in commands if command.startswith("freehold ") and command != "freehold up"]
    assert len(ours) >= 6
    for command in ours:
        ran = run(command, tmp_path)
        expected = 1 if "doctor" in command else 0
        assert ran.returncode == expected, f"{command}: {ran.stdout}{ran.stderr}"


def test_the_gateways_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are sound, and its commands do what they say."""
    (settings,) = blocks("toml", GATEWAY)
    (tmp_path / "freehold.toml").write_text(settings)
    for variable in re.findall(r'api_key_env = "(\w+)"', settings):
        monkeypatch.setenv(variable, "sk-test")
    checked = run("freehold config check freehold.toml", tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    commands = [line[2:] for line in blocks("console", GATEWAY)[0].splitlines()]
    assert len(commands) >= 6
    for command in commands:
        ran = run(command, tmp_path)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    assert "revoked" in run("freehold keys show notebook", tmp_path).stdout


def shown(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put a page's settings, beside two upstreams, into `folder`; returns its commands."""
    settings = "\n".join(blocks("toml", page))
    (folder / "freehold.toml").write_text(
        settings + '\n[upstreams.openai]\nbase_url = "https://api.openai.com/v1"\n[loop]\nmin_samples = 40\n'
    )
    checked = run("freehold config check freehold.toml", folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return [line[2:] for block in blocks("console", page) for line in block.splitlines() if line.startswith("$ ")]


def test_the_page_on_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = shown((ROOT / "docs" / "recording.md").read_text(encoding="utf-8"), tmp_path, monkeypatch)
    assert len(commands) >= 9
    for command in commands:
        ran = run(command, tmp_path)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    assert "anna-4711" not in (tmp_path / "receipt.json").read_text()


def test_the_page_on_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = shown((ROOT / "docs" / "datasets.md").read_text(encoding="utf-8"), tmp_path, monkeypatch)
    tickets = {"billing": "invoice {} is wrong", "bug": "the app crashes on screen {}", "praise": "version {} is great"}
    (tmp_path / "chats.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "system", "content": "billing, bug or praise?"},
                        {"role": "user", "content": text.format(word)},
                        {"role": "assistant", "content": label},
                    ]
                }
            )
            + "\n"
            for word in range(100, 200)
            for label, text in tickets.items()
        )
    )
    for command in commands:
        ran = run(command, tmp_path)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"


def test_the_page_on_students(tmp_path: Path) -> None:
    """Its recipe is sound and its settings too, its commands run, and its code says what the page says."""
    page = (ROOT / "docs" / "students.md").read_text(encoding="utf-8")
    (recipe,), (settings,), (code,), (said,) = (blocks(name, page) for name in ("toml", "ini", "python", "text"))
    (tmp_path / "tickets.toml").write_text(recipe)
    (tmp_path / "freehold.toml").write_text(settings + '\n[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\n')
    commands = [line[2:] for block in blocks("console", page) for line in block.splitlines() if line.startswith("$ ")]
    for command in [*commands, "freehold config check freehold.toml"]:
        ran = run(command, tmp_path)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(code, {})
    assert shown.getvalue() == said


def test_every_command_is_documented() -> None:
    pages = README + GATEWAY
    missing = [name for name in COMMANDS if not re.search(rf"`freehold {name}\b|\$ freehold {name}\b|`{name}`", pages)]
    assert not missing, f"Neither the README nor the gateway's page names: {', '.join(missing)}."
