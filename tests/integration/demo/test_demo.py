"""`freehold demo`, small: the real gateway and loop, one JSON object, figures that fit, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from freehold.config import load_settings
from freehold.demo.play import Player, Traffic, require, write_config
from freehold.demo.plays import CLASSICAL, GENERATIVE
from freehold.demo.result import Figures, Tally, TaskFigures
from freehold.demo.view import View, change, explanation, final_table
from freehold.domain.errors import FreeholdError
from freehold.domain.events import Event
from freehold.domain.scoring import JsonScorer, SqlScorer
from freehold.domain.tasks import Task
from freehold.scorers import Context, score
from freehold.store import Store
from freehold.train.recipes import Scratch, load_recipe

REQUESTS, SECONDS = 1_500, 9.0
assert CLASSICAL.drift
DRIFT_TASK, DRIFT_AT, DRIFT_AFTER = CLASSICAL.drift.task, CLASSICAL.drift.at, CLASSICAL.drift.after


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "freehold.cli.main", "demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)


def test_the_demo_reports_what_it_measured(tmp_path: Path) -> None:
    began = time.monotonic()
    done = demo(tmp_path, "--json", "--requests", str(REQUESTS), "--seconds", str(SECONDS), "--seed", "2")
    wall = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert list(result) == ["requests", "owned_share", "saved_usd", "seconds", "tasks"]
    tasks = {task["task"]: task for task in result["tasks"]}
    assert set(tasks) == {"triage", "urgency", "extraction", "reply"}
    assert all(tuple(task) == TaskFigures.__struct_fields__ for task in tasks.values())
    assert sum(task["requests"] for task in tasks.values()) == result["requests"]
    assert 0.5 * REQUESTS <= result["requests"] <= REQUESTS  # what a busy machine cannot send in time is left out
    owned = sum(task["owned_share"] * task["requests"] for task in tasks.values())
    assert owned / result["requests"] == pytest.approx(result["owned_share"], abs=1e-3)
    assert 0 < result["seconds"] <= wall
    assert tasks["reply"]["owned_share"] == 0 and tasks["reply"]["state"] in ("observing", "unscorable")
    for task in tasks.values():
        assert task["epsilon"] == 0.05
        assert (task["true_loss"] is None) == (task["owned_share"] == 0)
        assert task["loss_upper"] is None or task["loss_upper"] <= task["epsilon"]
        assert task["owned_share"] == 0 or task["loss_upper"] is not None, "owned without a certificate"
    if result["owned_share"] == 0:
        assert result["saved_usd"] <= 0
    assert not list(tmp_path.iterdir()), "the demo leaves its folder behind"
    assert str(tmp_path) not in _command_lines(), "the demo leaves a process behind"


def test_without_a_terminal_it_prints_the_table_and_what_it_means(tmp_path: Path) -> None:
    done = demo(tmp_path, "--requests", "200", "--seconds", "5")
    assert done.returncode == 0, done.stderr
    assert "What the demo measured" in done.stdout and "free-text replies" in done.stdout
    assert "Dashboard: http://127.0.0.1:" in done.stdout
    assert "did not change this time" in done.stdout


def test_the_traffic_changes_half_way_but_not_before_there_is_a_student() -> None:
    played = Traffic(1, 2_000)
    player = Player("http://127.0.0.1:1", played, 1.0, lambda _: None)
    assert player._message(1_999) == played.before[1_999] and player.tally.drift_at is None
    player.tally.owned[DRIFT_TASK] = DRIFT_AFTER
    half = int(DRIFT_AT * len(played))
    assert player._message(half - 1) == played.before[half - 1] and player.tally.drift_at is None
    assert player._message(half) == played.after[half] and player.tally.drift_at == half
    player.tally.owned[DRIFT_TASK] = 0
    changed = [number for number in range(half, 2_000) if player._message(number) != played.before[number]]
    assert {played.before[number].task for number in changed} == {DRIFT_TASK}


def test_a_record_is_sent_at_once_and_the_rest_evenly() -> None:
    played = Traffic(1, 1_300, GENERATIVE)
    player = Player("http://127.0.0.1:1", played, 100.0, lambda _: None)
    assert [player._due(number, 7.0) for number in (0, 500, 1_099)] == [7.0, 7.0, 7.0]
    assert player._due(1_100, 20.0) == 20.0
    assert player._due(1_101, 20.1) == pytest.approx(20.4) and player._due(1_300, 99.0) == pytest.approx(100.0)
    assert {message.task for message in played.before} == {"complaint", "sql"} and played.after is played.before
    evenly = Player("http://127.0.0.1:1", Traffic(1, 200), 10.0, lambda _: None)
    assert [evenly._due(number, 0.0) for number in (0, 100, 200)] == pytest.approx([0.0, 5.0, 10.0])


def test_the_generative_demo_is_configured_with_scorers_and_its_books(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path, "http://127.0.0.1:1/v1", GENERATIVE))
    assert isinstance(settings.task("complaint", "").scorer, JsonScorer)
    scorer = settings.task("sql", "").scorer
    assert isinstance(scorer, SqlScorer)
    said = score(scorer, "SELECT COUNT(*) FROM orders", "SELECT 3000", Context())
    assert said.value == 1.0
    assert settings.students.rollout.canary_share == 0.5 and settings.students.yield_share == 0.0
    quick, tiny = load_recipe(settings.students.recipe), load_recipe("tiny")
    assert isinstance(quick.model, Scratch) and isinstance(tiny.model, Scratch)
    assert quick.run.steps < tiny.run.steps and quick.model.layers < tiny.model.layers


def test_a_missing_library_is_said_before_anything_is_played() -> None:
    require(CLASSICAL)
    lacking = structs.replace(GENERATIVE, imports=("json", "freehold_no_such_library"))
    with pytest.raises(FreeholdError, match="freehold_no_such_library is not installed") as caught:
        require(lacking)
    assert "freehold[train]" in caught.value.hint and "torch" in caught.value.hint


def test_the_generative_table_fits_a_terminal() -> None:
    tally, played = Tally(), Traffic(1, 300, GENERATIVE)
    for number, message in enumerate(played.before):
        answer = message.truth if number % 10 else "no"
        owned = message.task == "sql" and number > 100
        tally.add(message, answer, owned=owned, task_id=message.task, seconds=0.03)
    row = TaskFigures(
        task="sql",
        requests=tally.requests["sql"],
        owned_share=0.4,
        state="owned",
        epsilon=0.05,
        loss_upper=0.034,
        true_loss=0.1,
        owned_lately=tally.owned_lately("sql"),
        right_lately=tally.right_lately("sql"),
        student_ms=tally.student_ms("sql"),
    )
    assert row.owned_lately == 1.0 and row.right_lately == pytest.approx(0.9, abs=0.06)
    assert row.student_ms == pytest.approx(30.0) and tally.student_ms("complaint") is None
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(
            final_table(Figures(300, 0.4, 1.0, 9.0, [row, structs.replace(row, student_ms=None)]), GENERATIVE)
        )
    lines = capture.get().splitlines()
    assert any("questions as SQL" in line and "100%" in line and "30 ms" in line for line in lines)
    assert all(len(line) <= 80 for line in lines) and "…" not in capture.get()
    assert "whoever gave them" in explanation(tally, GENERATIVE) and "drift" not in explanation(tally, GENERATIVE)


def test_the_picture_shows_the_change_and_the_rollback_and_stands_still(tmp_path: Path) -> None:
    store = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")
    view, tally, played = View(store, 2_000, "http://127.0.0.1:8484"), Tally(), Traffic(1, 300)
    for message in played.before:
        tally.add(message, message.truth, owned=message.task == DRIFT_TASK, task_id=f"task_{message.task}")
    before = _drawn(view, tally)
    name = "You watch the inbox of the Brindlebox support desk, and say whether a person must act on it …"
    store.control.tasks.put(Task(task_id=f"task_{DRIFT_TASK}", name=name, state="rolled_back"))
    for number, kind in enumerate(("certified", "promoted", "rolled-back")):
        said = f"{name}: 6 of 24 audited answers differ from the incumbent's, and more than fits on one line " * 2
        event = Event(
            event_id=f"ev_{number:08}", at_ns=time.time_ns(), kind=kind, task=f"task_{DRIFT_TASK}", message=said
        )
        store.control.add_event(event)
    tally.drift_at = 200
    view._read_at = 0.0
    after = _drawn(view, tally)
    assert len(before) == len(after), "the picture jumps"
    assert any(change(CLASSICAL)[:60] in line for line in after)
    [told] = [line for line in after if "rolled back" in line and "6 of 24" in line]
    assert "urgency, yes or no: 6 of 24" in told and "…" in told and "Brindlebox" not in told
    assert any("rolled back" in line and "urgency" in line and "100%" in line for line in after)
    assert "From request 200 on" in explanation(tally)
    store.close()


def _drawn(view: View, tally: Tally) -> list[str]:
    console = Console(width=110, height=40, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(view.draw(tally))
    return capture.get().splitlines()


def _command_lines() -> str:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().decode("utf-8", "replace"))
            except OSError:
                continue
    return "\n".join(line for line in found if "demo" not in line or "freehold-demo" in line)
