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
from rich.console import Console

from freehold.demo.play import DRIFT_AFTER, DRIFT_AT, DRIFT_TASK, Player, Traffic
from freehold.demo.result import Tally, TaskFigures
from freehold.demo.view import CHANGE, View, explanation
from freehold.domain.events import Event
from freehold.domain.tasks import Task
from freehold.store import Store

REQUESTS, SECONDS = 1_500, 9.0


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
    assert any(CHANGE[:60] in line for line in after)
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
