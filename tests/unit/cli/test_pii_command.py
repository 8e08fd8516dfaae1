"""`freehold pii`: kinds and places, never values."""

from __future__ import annotations

import json
from pathlib import Path

from cli_fixtures import Run

TEXT = "Hello\nmail anna@example.com, key sk-proj-aB3dE5gH7jK9mN1pQ3sT5vW7yZ2\nand café tel. 0171 2345678\n"


def test_kinds_and_places_are_said_and_no_value(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "mail.txt"
    file.write_text(TEXT)
    code, out, _ = run("pii", str(file), "--json")
    said = json.loads(out)
    assert code == 0 and said["counts"] == {"email": 1, "openai-key": 1, "phone": 1}
    assert [(one["kind"], one["line"], one["column"], one["characters"]) for one in said["found"]] == [
        ("email", 2, 6, 16),
        ("openai-key", 2, 28, 35),
        ("phone", 3, 15, 12),
    ]
    _, shown, _ = run("pii", str(file), "--limit", "1")
    assert "openai-key" in shown and "And 2 more" in shown
    assert not any(value in out + shown for value in ("anna", "sk-proj", "0171", "2345678"))


def test_masked_text_and_nothing_to_find(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "mail.txt"
    file.write_text(TEXT)
    assert run("pii", str(file), "--redact")[1] == "Hello\nmail [email], key [openai-key]\nand café tel. [phone]\n"
    file.write_text("Nothing here.")
    assert run("pii", str(file))[1].startswith("Nothing found.")


def test_what_cannot_be_read_is_said(tmp_path: Path, run: Run) -> None:
    code, _, err = run("pii", str(tmp_path / "none.txt"))
    assert code == 2 and "none.txt cannot be read: No such file" in err
    assert run("pii")[0] == 2


def test_all_kinds_are_listed(run: Run) -> None:
    said = json.loads(run("pii", "--kinds", "--json")[1])
    assert len(said["personal"]) >= 20 and "github-token" in said["secrets"]
