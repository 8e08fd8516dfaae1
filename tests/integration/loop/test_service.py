"""The loop as a service: one per data folder, alive through store errors, watching audits while a job runs."""

from __future__ import annotations

import sqlite3
import threading
from importlib import import_module
from typing import Any

import msgspec
import pytest
from desk_fixtures import Office, office
from waiting import wait_for

from freehold.config import load_settings
from freehold.domain.errors import FreeholdError, LeaseHeld, StoreError
from freehold.loop import Loop, run_loop
from freehold.loop.cycle import Turn
from freehold.runners import LocalRunner

__all__ = ["office"]
service_module = import_module("freehold.loop.service")
_LOOP = """
import sys, threading
from pathlib import Path
from freehold.config import load_settings
from freehold.domain.errors import FreeholdError
from freehold.loop import run_loop
config = Path(sys.argv[1])
try:
    run_loop(load_settings(config), config, threading.Event())
except FreeholdError as error:
    print(error.code, error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_a_second_loop_on_one_data_folder_says_so_and_a_dead_one_makes_room(office: Office) -> None:
    first = office.start(_LOOP, str(office.config))
    lock = office.settings.data / "loop.lock"
    wait_for(
        lambda: lock.exists() and lock.read_text().strip() == str(first.pid), 60, "the first loop to hold its lock"
    )
    second = office.start(_LOOP, str(office.config))
    _, said = second.communicate(timeout=60)
    assert second.returncode == LeaseHeld.exit_code == 4
    assert b"lease_held" in said and str(first.pid).encode() in said and b"data folder" in said
    first.kill()
    first.wait(10)
    third = office.start(_LOOP, str(office.config))
    wait_for(lambda: lock.read_text().strip() == str(third.pid), 60, "a third loop to take over")


def test_a_changed_file_is_followed_between_turns(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, seen = threading.Event(), list[float]()
    text = office.config.read_text()

    class Looking(Loop):
        def turn(self) -> Any:
            seen.append(self._settings.loop.growth)
            if len(seen) == 1:
                office.config.write_text(text.replace("[loop]", "[loop]\ngrowth = 1.7"))
            if seen[-1] == 1.7 or len(seen) > 50:
                stop.set()
            return Turn(0, (), None)

    monkeypatch.setattr(service_module, "Loop", Looking)
    run_loop(load_settings(office.config), office.config, stop)
    assert seen[0] != 1.7 and seen[-1] == 1.7


@pytest.mark.parametrize("error", [StoreError("locked"), LeaseHeld("sealing"), FreeholdError("no memory for a job")])
def test_an_error_in_a_turn_does_not_end_the_service(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: FreeholdError
) -> None:
    turns: list[int] = []
    stop = threading.Event()

    class Failing(Loop):
        def turn(self) -> Any:
            turns.append(1)
            if len(turns) <= 3:
                raise error
            stop.set()
            return super().turn()

    monkeypatch.setattr(service_module, "Loop", Failing)
    settings = msgspec.structs.replace(
        office.settings, loop=msgspec.structs.replace(office.settings.loop, interval_seconds=0.01)
    )
    office.send(1, 30)
    run_loop(settings, office.config, stop)
    assert len(turns) == 4 and office.store.control.tasks.list(), "the turn after the errors did its work"


def test_a_control_database_locked_for_a_while_is_waited_for(office: Office) -> None:
    office.send(1, 30)
    stop = threading.Event()
    holder = sqlite3.connect(office.settings.data / "control.sqlite", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    service = threading.Thread(target=run_loop, args=(office.settings, office.config, stop), daemon=True)
    release = threading.Timer(4.0, lambda: holder.execute("ROLLBACK"))
    release.start()
    store = office.store
    service.start()
    release.join()
    try:
        wait_for(lambda: bool(store.control.tasks.list()), 30, "the task to be found")
        assert service.is_alive()
    finally:
        stop.set()
        service.join(30)
        holder.close()
    assert not service.is_alive()


def test_audits_are_watched_while_a_job_runs(office: Office) -> None:
    office.send(1, 900)
    Loop(office.store, office.settings).until_idle()
    owned_task = office.task
    rung = office.store.control.current_policy().tasks[owned_task].rungs[0]
    office.send(2, 450, system="Is the customer in a hurry? Answer yes or no.")
    other_task = office.task

    class Endless(LocalRunner):
        def start(self, command: Any) -> Any:
            return super().start(["sleep", "600"])

    loop = Loop(office.store, office.settings, office.config, Endless())
    try:
        wait_for(lambda: loop.turn().started == other_task, 60, "a job to run")
        system = "Is it urgent? Answer yes or no."
        served: dict[str, Any] = {"owned": True, "audited": True, "reason": "accepted", "certificate": rung.certificate}
        served["audit_probability"] = 0.3
        for number in range(60):
            owned = office.append(f"owned {number}", system, f"question {number}", "yes", **served)
            office.append(
                f"audit {number}", system, f"question {number}", "no", kind="audit", of=owned.trace_id, reason=""
            )
        turn = loop.turn()
        assert turn.rolled_back == (owned_task,) and turn.started is None
        assert office.store.control.current_policy().tasks[owned_task].rungs == ()
        assert [job.state for job in office.store.control.jobs.list()].count("running") == 1, "the job runs on"
    finally:
        loop.stop()
