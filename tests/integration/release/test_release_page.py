"""What docs/release.md shows is run, and the folder it describes is the one that is written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from loop_fixtures import Desk
from release_fixtures import Installation

PAGE = (Path(__file__).parents[3] / "docs" / "release.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_pages_commands_and_its_checker_work(owned_desk: Desk, tmp_path: Path) -> None:
    installation = Installation(tmp_path, owned_desk)
    key = owned_desk.store.keys.public_key()
    out = tmp_path / "tickets-1"
    (console,) = blocks("console")
    commands = [line.removeprefix("$ freehold release ") for line in console.splitlines()]
    assert len(commands) == 4
    said = ""
    for command in commands:
        words = [{"tickets-1": str(out), "KEY": key}.get(word, word) for word in shlex.split(command)]
        if words[0] == "build":
            words[1] = owned_desk.task_id  # the page's is called tickets
        done = installation.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
    assert installation.student in said
    check_folder(out)
    check_checker(out, key)


def check_folder(out: Path) -> None:
    """Every file is in the page's table, by its name or its folder's."""
    told = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`([^`]+)`", row)}
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        if path.is_file():
            assert name in told or name.startswith(("standards/", "licences/")), name


def check_checker(out: Path, key: str) -> None:
    """The page's few lines find what was changed, added and removed, and another key."""
    (code,) = blocks("python")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert f"{len(files) - 2} files are as signed" in checked(code, out, key).stdout
    assert "InvalidSignature" in checked(code, out, "00" * 32).stderr
    (out / "more").mkdir()
    assert "is empty" in checked(code, out, key).stderr
    (out / "more" / "file").write_bytes(b"")
    assert "more/file" in checked(code, out, key).stderr
    (out / "more" / "file").unlink()
    (out / "more").rmdir()
    notice = (out / "NOTICE").read_bytes()
    (out / "NOTICE").write_bytes(notice[:-1] + b"x")
    assert "NOTICE" in checked(code, out, key).stderr
    (out / "NOTICE").unlink()
    assert "NOTICE" in checked(code, out, key).stderr
    (out / "NOTICE").write_bytes(notice)
    assert checked(code, out, key).returncode == 0


def checked(code: str, out: Path, key: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(out), key]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
