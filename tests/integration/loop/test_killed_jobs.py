"""A real job process is killed with SIGKILL after each of its steps; a new loop carries it on to the same result."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
from desk_fixtures import Office, office
from waiting import wait_for

from freehold.domain.evidence import Certificate
from freehold.loop import STEPS, Loop, new_move
from freehold.runners import LocalRunner

__all__ = ["office"]
_KILLED_AFTER = """
import os, signal, sys
from freehold.loop import move, worker
step_done = move.Move._step
def step(self, name, work):
    step_done(self, name, work)
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
move.Move._step = step
sys.exit(worker.main(["--job", sys.argv[2], "--config", sys.argv[3]]))
"""
"""The worker itself, with SIGKILL sent to it the moment a step is stored."""


def _prepared(folder: Path) -> Office:
    made = Office(folder)
    made.send(1, 900)
    Loop(
        made.store,
        msgspec.structs.replace(made.settings, loop=msgspec.structs.replace(made.settings.loop, min_samples=9999)),
    ).turn()
    return made


def _carry_on(office: Office) -> None:
    """A loop with real job processes, as after a restart of the service."""
    loop = Loop(office.store, office.settings, office.config, LocalRunner())

    def moved() -> bool:
        loop.turn()
        return _rung(office) is not None

    try:
        wait_for(moved, 60, "the job to end")
    finally:
        loop.stop()


def _rung(office: Office) -> Any:
    entry = office.store.control.current_policy().tasks.get(office.task)
    return entry.rungs[0] if entry and entry.rungs else None


def _result(office: Office) -> tuple[bytes, dict[str, Any]]:
    """The student's tensors, and all of the certificate that does not depend on when and where it was issued."""
    rung = _rung(office)
    certificate = office.store.control.certificates.get(rung.certificate)
    assert isinstance(certificate, Certificate)
    figures = msgspec.structs.asdict(certificate)
    for name in (
        "issued_ns",
        "public_key",
        "signature",
        "certificate_id",
        "dataset_id",
        "dataset_sha256",
        "evidence_path",
        "evidence_sha256",
    ):
        figures.pop(name)
    figures.pop("rungs")  # their students hash the dataset, whose rows bear their times
    return (office.store.data / rung.path / "tensors.safetensors").read_bytes(), figures


def test_killed_after_each_step_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    undisturbed = _prepared(tmp_path / "undisturbed")
    new_move(undisturbed.store, undisturbed.task)
    _carry_on(undisturbed)
    expected = _result(undisturbed)
    undisturbed.close()
    office = _prepared(tmp_path / "killed")
    job = new_move(office.store, office.task)
    for number, name in enumerate(STEPS):
        process = office.start(_KILLED_AFTER, name, job.job_id, str(office.config))
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, name
        stored = office.store.control.jobs.get(job.job_id)
        assert stored is not None and stored.state == "running"
        assert [step.name for step in stored.steps] == list(STEPS[: number + 1]), "what was done is not done again"
    _carry_on(office)
    wait_for(lambda: _state(office, job.job_id) == "done", 60, "the job to be closed")
    assert _result(office) == expected
    task = office.store.control.tasks.get(office.task)
    assert task is not None and task.attempts == 1 and task.state == "owned"
    kinds = [event.kind for event in office.store.control.events(1000)]
    for kind in ("dataset-built", "student-trained", "evaluated", "certified", "promoted"):
        assert kinds.count(kind) == 1, kind
    office.close()


def _state(office: Office, job_id: str) -> str:
    Loop(office.store, office.settings).turn()
    job = office.store.control.jobs.get(job_id)
    assert job is not None
    return job.state


def test_a_job_whose_process_keeps_dying_is_given_up_and_said(office: Office) -> None:
    class Dying(LocalRunner):
        started = 0

        def start(self, command: Any) -> Any:
            self.started += 1
            return super().start(["sh", "-c", "kill -9 $$"])

    office.send(1, 450)
    runner = Dying()
    loop = Loop(office.store, office.settings, office.config, runner)

    def given_up() -> bool:
        loop.turn()
        return bool(_failed(office))

    wait_for(given_up, 60, "the job to be given up")
    [job] = _failed(office)
    assert runner.started == 3 and "died 3 times" in job.error and "exit code -9" in job.error
    task = office.store.control.tasks.get(office.task)
    assert task is not None and task.note == job.error
    assert [event.kind for event in office.store.control.events(1000)].count("job-failed") == 1
    loop.turn()
    assert runner.started == 3, "and others have their turn"


def _failed(office: Office) -> list[Any]:
    return [job for job in office.store.control.jobs.list() if job.state == "failed"]


def test_the_worker_says_with_its_exit_code_what_stopped_it(office: Office) -> None:
    def run(job: str) -> subprocess.CompletedProcess[bytes]:
        process = office.start(_WORKER, "--job", job, "--config", str(office.config))
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess((), process.returncode, out, err)

    assert run("job_unknown").returncode == 3
    office.send(1, 60)
    Loop(office.store, office.settings).turn()
    poor = new_move(office.store, office.task)
    done = run(poor.job_id)
    assert done.returncode == 5 and b"usable answers" in done.stderr
    stored = office.store.control.jobs.get(poor.job_id)
    assert stored is not None and stored.state == "failed"
    assert run(poor.job_id).returncode == 0, "a job that has ended is left as it is"


_WORKER = "import sys; from freehold.loop.worker import main; sys.exit(main())"
