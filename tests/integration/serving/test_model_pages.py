"""What docs/base-models.md and docs/exports.md show is run; output may differ in folders, hashes and days only."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")

import vllm_fake
from cli_fixtures import Run, quiet_logs, run
from student_folders import write_manifest
from tiny_models import make_adapter, make_model

from freehold.config import load_settings
from freehold.serving.bases import find_base
from freehold.serving.bases.files import PICKLES

__all__ = ["quiet_logs", "run"]
DOCS = Path(__file__).parents[3] / "docs"
DAY = r"\d{4}-\d\d-\d\d"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def shown(text: str) -> list[tuple[list[str], str]]:
    """Each command with the output that stands below it."""
    found = re.findall(r"^\$ freehold (.*)\n((?:(?!\$ |```).*\n)*)", text, re.M)
    assert found
    return [(shlex.split(command), output) for command, output in found]


def plain(text: str, folder: Path) -> str:
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", re.sub(DAY, "DAY", text.replace(str(folder), "FOLDER")))
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def check(run: Run, text: str, folder: Path, replaced: tuple[str, str] = ("", "")) -> None:
    for command, output in shown(text):
        _, out, err = run(*command)
        assert plain(out.replace(*replaced), folder) == plain(output, folder), f"{command}: {err}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with base models, where the page's commands are given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    make_model(tmp_path / "models" / "tiny")
    (tmp_path / "freehold.toml").write_text(re.findall(r"^```toml\n(.*?)^```$", page("base-models.md"), re.M | re.S)[0])
    return tmp_path


def test_the_page_about_base_models(place: Path, run: Run) -> None:
    (place / "models" / "old").mkdir()
    (place / "models" / "old" / "pytorch_model.bin").write_bytes(b"")
    check(run, page("base-models.md"), place)
    code, _, err = run("models", "fetch", "some/model")
    assert code == 2 and "nothing else is ever fetched" in err


def test_every_pickle_is_on_the_page() -> None:
    assert [suffix for suffix in PICKLES - {".pickle", ".joblib"} if f"`{suffix}`" not in page("base-models.md")] == []


def test_the_page_about_exports(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_adapter(place / "student" / "adapter")
    write_manifest(place / "student", "adapter", find_base(load_settings(place / "freehold.toml"), "tiny").used)
    monkeypatch.setenv("PATH", f"{vllm_fake.program(place).parent}:/usr/bin:/bin")
    first, *_, last = page("exports.md").split("```toml\n")
    check(run, first, place)
    assert (place / "ticket.gguf").is_file() and "FROM ./ticket.gguf" in (place / "Modelfile").read_text()
    settings, _, rest = last.partition("```\n")
    with vllm_fake.serving() as server:
        with (place / "freehold.toml").open("a") as file:
            file.write(settings.replace("http://127.0.0.1:8000", server.url))
        check(run, rest, place, (server.url, "http://127.0.0.1:8000"))


def test_students_that_cannot_be_exported_are_refused(place: Path, run: Run) -> None:
    code, _, err = run("student", "export", "st_nobody", "--to", "x.gguf")
    assert code == 3 and "There is no student" in err
    code, _, err = run("student", "vllm", "check")
    assert code == 2 and "No server is configured" in err
    code, _, err = run("student", "vllm", "command", "tiny", "--program", "no-such-program")
    assert code == 2 and "pip install vllm" in err
    assert not list(place.glob("*.gguf"))
