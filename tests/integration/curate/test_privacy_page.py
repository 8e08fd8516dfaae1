"""What docs/privacy.md shows is run."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

from freehold.config import load_settings
from freehold.curate.pii import KINDS, PERSONAL, SECRETS

PAGE = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def shape(text: str) -> str:
    """The text with the drawn parts of pseudonyms made alike."""
    text = re.sub(r"person-[a-p]{10}@", "person-#@", text)
    text = re.sub(r"\+999\d{10}", "+999#", text)
    text = re.sub(r"999999\d{10}", "999999#", text)
    return re.sub(r"2[45]\d\.\d+\.\d+\.\d+", "24#", text)


def test_python_examples_print_what_is_shown() -> None:
    shown = blocks("text")
    examples = blocks("python")
    assert len(examples) == len(shown) == 2
    for example, expected in zip(examples, shown, strict=True):
        said = io.StringIO()
        with redirect_stdout(said):
            exec(example, {})
        assert shape(said.getvalue()) == shape(expected)


def test_commands_run(tmp_path: Path) -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    (tmp_path / "note.txt").write_text("Mail anna@example.com or call 0171 2345678.\n")
    said = {}
    for command in (command for command in commands if command.startswith("freehold ")):
        ran = subprocess.run(
            [sys.executable, "-m", "freehold.cli.main", *shlex.split(command)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        said[command] = ran.stdout
    assert said["freehold pii --redact note.txt"] == "Mail [email] or call [phone].\n"
    assert "anna" not in said["freehold pii note.txt"] and "email" in said["freehold pii note.txt"]


def test_the_settings_are_sound_and_the_counts_true(tmp_path: Path) -> None:
    (settings,) = blocks("toml")
    path = tmp_path / "freehold.toml"
    path.write_text(settings)
    steps = load_settings(path).curate.steps
    assert [type(step).__name__ for step in steps] == ["Secrets", "Redact"]
    assert tomllib.loads(settings)["curate"]["steps"][1]["engine"] == "builtin"
    assert (
        len(PERSONAL) in range(18, 26) and len(SECRETS) in range(36, 46) and len(KINDS) == len(PERSONAL) + len(SECRETS)
    )
