"""Recipes' files lie relative to the configuration file, wherever a command is run."""

from __future__ import annotations

from pathlib import Path

from freehold.config import load_settings


def test_files_are_found_beside_the_configuration_and_names_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "freehold.toml"
    path.write_text(
        '[students]\nrecipe = "mine.toml"\n[tasks.a.student]\nrecipe = "sub/other.toml"\n[tasks.b.student]\n'
    )
    settings = load_settings(path)
    assert settings.students.recipe == str(tmp_path / "mine.toml")
    assert settings.task("a", "").student.recipe == str(tmp_path / "sub" / "other.toml")
    assert settings.task("b", "").student.recipe is None
    path.write_text('[students]\nrecipe = "lora"\n[tasks.a.student]\nrecipe = "/elsewhere/x.toml"\n')
    settings = load_settings(path)
    assert settings.students.recipe == "lora"
    assert settings.task("a", "").student.recipe == "/elsewhere/x.toml"
