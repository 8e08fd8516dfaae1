"""`freehold ladder` and the dashboard's page of a task with a ladder, on recorded shadows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fixtures import Run
from ladder_fixtures import CHEAP, INCUMBENT, Recorded, ladder_settings, questions

from freehold.dashboard.pages import Asked
from freehold.dashboard.pages import task as task_page
from freehold.store import Store

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
keyless = true
[upstreams.inc.prices]
large = { input = 10.0, output = 10.0 }
small = { input = 0.5, output = 0.5 }
[candidates]
models = ["small"]
signals = ["prompt"]
[loop]
epsilon = 0.05
delta = 0.1
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A configuration over 60 shadowed requests."""
    record(tmp_path, 60)
    (tmp_path / "freehold.toml").write_text(CONFIG)
    return tmp_path / "freehold.toml"


def record(folder: Path, n: int, *, first: bool = True) -> None:
    settings = ladder_settings(folder / "freehold-data", candidates=(CHEAP,))
    desk = Recorded(settings) if first else Recorded.at(settings)
    for question in questions(7, n, skill=0.998):
        desk.record(question, models=(CHEAP,))
    desk.close()


def test_from_too_little_evidence_to_a_ladder_in_force_and_back(shop: Path, run: Run) -> None:
    code, out, _ = run("ladder", "cities", "--config", str(shop))
    assert code == 0 and "no ladder is in force" in out and "Nothing moves yet: " in out
    code, out, _ = run("ladder", "try", "cities", "--json", "--config", str(shop))
    assert code == 5 and "Nothing moves yet: 60 of about" in json.loads(out)["error"]["message"]
    record(shop.parent, 850, first=False)
    code, out, _ = run("ladder", "try", "cities", "--json", "--config", str(shop))
    tried = json.loads(out)
    assert code == 0, out
    assert tried["saving"] > 0.4 and [row["name"] for row in tried["rungs"]] == [CHEAP, INCUMBENT]
    code, out, _ = run("ladder", "cities", "--json", "--config", str(shop))
    view = json.loads(out)
    assert view["certificate"] == tried["certificate"] and view["scored_requests"] == 910
    assert [(row["rung"], row["incumbent"]) for row in view["rungs"]] == [("inc/small", False), (INCUMBENT, True)]
    code, out, _ = run("ladder", "cities", "--config", str(shop))
    assert code == 0 and "a prompt ladder" in out and "inc/small" in out and "at most 5.00%" in out
    assert run("certificate", "verify", tried["certificate"], "--config", str(shop))[0] == 0
    page = _page(shop)
    assert "<h2>Ladder</h2>" in page and "inc/small" in page and tried["certificate"] in page
    assert run("rollback", "cities", "--config", str(shop))[0] == 0
    assert "no ladder is in force" in run("ladder", "cities", "--config", str(shop))[1]
    assert "<h2>Ladder</h2>" not in _page(shop)


def _page(shop: Path) -> str:
    settings = ladder_settings(shop.parent / "freehold-data")
    store = Store.open(settings.data, settings.control_url)
    try:
        [task] = store.control.tasks.list()
        return task_page(store, Asked(settings, "127.0.0.1", {"task_id": task.task_id}, {}))
    finally:
        store.close()
