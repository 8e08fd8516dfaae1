"""What docs/evaluation.md shows is run, and what it says of defaults and options is so."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import click

from freehold.cli.main import freehold
from freehold.config import SafetySettings
from freehold.domain.evaluations import SafetyName

PAGE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_python_examples_print_what_is_shown() -> None:
    shown, examples = blocks("text"), blocks("python")
    assert len(examples) == len(shown) == 2
    for example, expected in zip(examples, shown, strict=True):
        said = io.StringIO()
        with redirect_stdout(said):
            exec(example, {})
        assert said.getvalue() == expected


def test_checks_defaults_and_options_are_those_there_are() -> None:
    defaults = SafetySettings()
    for name in SafetyName.__args__:  # type: ignore[attr-defined]
        assert f"\n| {name} |" in PAGE
    for field in ("refusals_kept", "max_over_refusal", "max_verbatim_tokens"):
        assert f"`{field} = {getattr(defaults, field)}`" in PAGE
    context = click.Context(freehold)
    for line in (line for block in blocks("console") for line in block.splitlines()):
        _, _, name, *words = line.split()
        command = freehold.get_command(context, name)
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
