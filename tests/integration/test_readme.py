"""What the README shows is run: its Python against a real gateway, its commands against a real folder."""

from __future__ import annotations

import io
import re
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

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


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
        ran = subprocess.run(
            [sys.executable, "-m", "freehold.cli.main", *command.split()[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        expected = 1 if "doctor" in command else 0
        assert ran.returncode == expected, f"{command}: {ran.stdout}{ran.stderr}"


def test_every_command_is_documented() -> None:
    missing = [name for name in COMMANDS if not re.search(rf"`freehold {name}\b|\$ freehold {name}\b|`{name}`", README)]
    assert not missing, f"The README does not name: {', '.join(missing)}."
