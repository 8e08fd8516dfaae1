"""A move is killed, crossed by others and carried on: every step once, every attempt counted once."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
from loop_fixtures import Desk, incumbent_trace, urgency

from freehold.domain.errors import Conflict, EvidenceError, LeaseHeld, StoreError
from freehold.domain.events import Job
from freehold.domain.tasks import Task
from freehold.loop import STEPS, Move, StepName, new_move, open_move
from freehold.store import exclusive

move_module = import_module("freehold.loop.move")


class _Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    desk = Desk(tmp_path, epsilon=0.1, delta=0.1, min_samples=10_000)
    desk.send(urgency(1, 450))
    desk.loop.turn()
    desk.settings = msgspec.structs.replace(
        desk.settings, loop=msgspec.structs.replace(desk.settings.loop, min_samples=400)
    )
    yield desk
    desk.close()


def _move(desk: Desk) -> Move:
    job = open_move(desk.store, desk.task_id) or new_move(desk.store, desk.task_id)
    return Move(desk.store, desk.settings, job)


def _attempts(desk: Desk) -> int:
    task = desk.store.control.tasks.get(desk.task_id)
    assert task is not None
    return task.attempts


@pytest.mark.parametrize(("name", "recorded"), [*((name, False) for name in STEPS), ("train", True), ("certify", True)])
def test_killed_at_any_step_it_is_carried_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: StepName, recorded: bool
) -> None:
    record = Move._recorded

    def die(move: Move, step: Any) -> Job:
        if step.name == name and not recorded:
            raise _Killed
        job = record(move, step)
        if step.name == name:
            raise _Killed
        return job

    with monkeypatch.context() as patch:
        patch.setattr(Move, "_recorded", die)
        with pytest.raises(_Killed):
            _move(desk).run()
    assert desk.rung is None, "nothing moves before the promotion is whole"
    job = _move(desk).run()
    assert [step.name for step in job.steps] == list(STEPS) and job.state == "done"
    assert _attempts(desk) == 1 and desk.rung is not None
    kinds = [
        event.kind for event in desk.events("dataset-built", "student-trained", "evaluated", "certified", "promoted")
    ]
    assert kinds == ["dataset-built", "student-trained", "evaluated", "certified", "promoted"]
    assert len(desk.store.control.certificates.list()) == 1 == len(desk.store.control.students.list())


def test_an_attempt_is_counted_before_the_look_and_kept_for_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        assert _attempts(desk) == 1
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(move_module, "certify", die)
        for _ in range(3):
            with pytest.raises(_Killed):
                _move(desk).run()
    job = _move(desk).run()
    assert _attempts(desk) == 1 and job.state == "done"
    [certificate] = desk.store.control.certificates.list()
    assert certificate.attempt == 1


def test_a_conflict_leaves_the_job_to_be_carried_on_and_a_failure_does_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Exception) -> Any:
        def promote(*_: object) -> None:
            raise error

        return promote

    with monkeypatch.context() as patch:
        patch.setattr(move_module, "promote", refuse(Conflict("somebody was first")))
        with pytest.raises(Conflict):
            _move(desk).run()
        job = open_move(desk.store, desk.task_id)
        assert job is not None and [step.name for step in job.steps] == list(STEPS[:-1])
        patch.setattr(move_module, "promote", refuse(StoreError("broken")))
        with pytest.raises(StoreError):
            _move(desk).run()
    assert open_move(desk.store, desk.task_id) is None
    [failed] = desk.store.control.jobs.list()
    assert failed.state == "failed" and failed.error == "broken" and len(desk.events("job-failed")) == 1
    assert _attempts(desk) == 1


def test_two_processes_never_move_one_task_at_once(desk: Desk) -> None:
    move = _move(desk)
    with exclusive(desk.store.data / "locks" / f"move-{desk.task_id}.lock"), pytest.raises(LeaseHeld):
        move.run()
    late = _move(desk)
    assert move.run().state == "done"
    assert [step.at_ns for step in late.run().steps] == [step.at_ns for step in move.job.steps], (
        "what another process finished meanwhile is not done again"
    )
    assert len(desk.events("promoted")) == 1


def test_a_job_under_way_when_its_task_is_rolled_back_does_not_bring_it_back(desk: Desk) -> None:
    move = _move(desk)
    move.run("certify")
    changed = desk.store.control.tasks.change(
        desk.task_id, lambda task: msgspec.structs.replace(task, evidence_since_ns=10**19)
    )
    assert changed is not None
    with pytest.raises(EvidenceError, match="before"):
        move.run()
    assert desk.rung is None and move.job.state == "failed"


def test_changes_to_a_task_from_many_sides_are_all_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tasks = desk.store.control.tasks
    tasks.put(Task(task_id="task_x", name="x"))

    def count() -> None:
        for _ in range(25):
            tasks.change("task_x", lambda task: msgspec.structs.replace(task, attempts=task.attempts + 1))
            desk.store.control.change_task_policy("task_x", "for a test", repeat_rate=0.5)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    task = tasks.get("task_x")
    assert task is not None and task.attempts == 50
    assert desk.store.control.policy_version() == 50
    assert tasks.change("task_none", lambda task: task) is None
    desk.close()


def test_a_turn_of_the_loop_keeps_what_a_job_changed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, min_samples=10_000)
    desk.send(urgency(1, 60))
    desk.loop.turn()
    tasks = desk.store.control.tasks
    listed = tasks.list

    looks: list[str] = []

    def list_then_attempt(*arguments: Any, **options: Any) -> list[Task]:
        looks.append("look")
        found = listed(*arguments, **options)
        tasks.change(desk.task_id, lambda task: msgspec.structs.replace(task, attempts=task.attempts + 1))
        return found

    for number in range(30):
        desk.append(incumbent_trace(5000 + number, f"m {number}", "yes", task=desk.task_id, fingerprint="another-call"))
    monkeypatch.setattr(tasks, "list", list_then_attempt)
    desk.loop.turn()
    task = tasks.get(desk.task_id)
    assert task is not None and task.attempts == len(looks) > 0 and "another-call" in task.fingerprints
    desk.close()
