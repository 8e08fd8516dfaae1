"""What docs/rights.md shows is run: every command, and its output but for ids and days."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_fixtures import Run
from loop_fixtures import Desk, urgency

from freehold.domain.tasks import Task

PAGE = (Path(__file__).parents[3] / "docs/rights.md").read_text(encoding="utf-8")
FUTURE = "2999-06-30"
LLAMA = """
data_dir = "."
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "llama-3.1"
"""


def shown(section: str) -> list[tuple[list[str], str]]:
    """The commands of a section, each with the output that stands below it."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0].replace("2027-06-30", FUTURE)
    found = re.findall(r"^```console\n\$ freehold (.*?)\n(.*?)^```$", text, re.M | re.S)
    assert found
    return [(shlex.split(command), output) for command, output in found]


def without_ids(text: str) -> str:
    """Ids and the day of a ruling differ each time."""
    text = re.sub(r"\b(cd|fu|st)_[0-9a-f]{12,}", r"\1_", text)
    return re.sub(r"\(\d{4}-\d\d-\d\d\)", "(today)", text).strip()


def check(run: Run, section: str, config: Path) -> None:
    for command, output in shown(section):
        _, out, err = run(*command, "--config", str(config))
        assert without_ids(out) == without_ids(output), f"{command}: {err}"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A task called urgency, whose student waits for a duty."""
    made = Desk(tmp_path, "llama-3.1", epsilon=0.1, delta=0.1, min_samples=10_000)
    (tmp_path / "freehold.toml").write_text(LLAMA)
    made.send(urgency(1, 900))
    made.loop.turn()

    def named(task: Task) -> Task:
        return msgspec.structs.replace(task, name="urgency", samples_at_look=0)

    made.store.control.tasks.change(made.task_id, named)
    made.loop.use(
        msgspec.structs.replace(made.settings, loop=msgspec.structs.replace(made.settings.loop, min_samples=600))
    )
    made.loop.until_idle()
    yield made
    made.close()


def test_asking_and_deciding(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    (tmp_path / "freehold.toml").write_text(settings)
    for section in ("Asking", "Decisions by counsel"):
        check(run, section, tmp_path / "freehold.toml")


def test_duties(
    run: Run, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()
    check(run, "Duties", tmp_path / "freehold.toml")
    assert desk.rung is None and desk.loop.turn().started == desk.task_id and desk.rung is not None
