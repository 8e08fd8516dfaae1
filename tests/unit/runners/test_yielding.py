"""Training waits while callers are answered, as long as its share says, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.runners.yielding import (
    FOLDER,
    QUIET_SECONDS,
    SUFFIX,
    Pulse,
    Yielding,
    yielding_environment,
    yielding_here,
)


class Machine:
    """A machine whose time passes when somebody works or waits, and whose callers ask at every look."""

    def __init__(self, pulse: Pulse) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.asking = True
        self.pulse = pulse

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.callers()

    def work(self, seconds: float, kept_away: float = 0.0) -> None:
        self.worked += seconds
        self.now += seconds + kept_away
        self.callers()

    def callers(self) -> None:
        if self.asking:
            self.pulse.beat()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    pulse = Pulse()
    pulse.open(tmp_path, "gateway-1")
    return Machine(pulse)


def yielding(machine: Machine, folder: Path, share: float) -> Yielding:
    return Yielding(folder, share, work=lambda: machine.worked, clock=machine.clock, wait=machine.wait)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_while_requests_are_answered_training_takes_its_share(share: float, machine: Machine, tmp_path: Path) -> None:
    policy = yielding(machine, tmp_path, share)
    for _ in range(20):
        machine.work(0.2)
        policy.between_steps()
    assert machine.worked / machine.now == pytest.approx(share, abs=0.01)
    assert policy.waited == pytest.approx(machine.now - machine.worked)


def test_who_was_kept_from_its_core_has_yielded_already(machine: Machine, tmp_path: Path) -> None:
    policy = yielding(machine, tmp_path, 0.5)
    machine.work(0.2, kept_away=0.15)
    assert policy.between_steps() == pytest.approx(0.05)
    machine.work(0.2, kept_away=30.0)
    assert policy.between_steps() == 0.0


def test_on_a_quiet_machine_it_never_waits_and_soon_after_the_last_request_no_more(
    machine: Machine, tmp_path: Path
) -> None:
    machine.asking = False
    policy = yielding(machine, tmp_path, 0.5)
    machine.work(3.0)
    assert policy.between_steps() == 0.0
    machine.pulse.beat()
    machine.work(8.0)
    assert policy.between_steps() == pytest.approx(QUIET_SECONDS, abs=0.06), "nobody asked while it waited"
    machine.work(8.0)
    assert policy.between_steps() == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_nothing_or_all_never_waits(share: float, machine: Machine, tmp_path: Path) -> None:
    policy = yielding(machine, tmp_path, share)
    machine.work(1.0)
    assert policy.between_steps() == 0.0


def test_no_step_is_waited_for_longer_than_ten_seconds(machine: Machine, tmp_path: Path) -> None:
    policy = yielding(machine, tmp_path, 0.1)
    machine.work(500.0)
    assert policy.between_steps() == pytest.approx(10.0)


def test_the_pulse_of_another_process_is_seen_and_a_dead_ones_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert yielding_here().between_steps() == 0.0
    [(name, value)] = yielding_environment(tmp_path, 0.01).items()
    monkeypatch.setenv(name, value)
    busy = tmp_path / FOLDER
    code = (
        "import os, sys; from pathlib import Path; from freehold.runners.yielding import Pulse\n"
        "pulse = Pulse(); pulse.open(Path(sys.argv[1]), 'server'); print(flush=True)\n"
        "sys.stdin.readline(); pulse.beat(); print(flush=True); sys.stdin.readline(); os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(busy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        policy = yielding_here()
        sum(range(100_000))
        assert policy.between_steps() == 0.0
        print(file=other.stdin, flush=True)
        other.stdout.readline()
        sum(range(100_000))
        assert policy.between_steps() > 0.0
        assert [path.name for path in busy.iterdir()] == [f"server{SUFFIX}"]
        print(file=other.stdin, flush=True)
    mine = Pulse()
    mine.open(busy, "mine")
    third = Pulse()
    third.open(busy, "third")
    assert sorted(path.name for path in busy.iterdir()) == [f"mine{SUFFIX}", f"third{SUFFIX}"]
    mine.close()
    third.close()


def test_a_pulse_that_cannot_be_shown_still_beats(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pulse = Pulse()
    pulse.open(tmp_path / "file", "gateway")
    pulse.beat()
    pulse.close()


def test_stepping_back_puts_a_process_and_its_children_behind(tmp_path: Path) -> None:
    code = "import os; from freehold.runners.yielding import step_back\nprint(step_back(), flush=True)\n"
    code += "os.execlp('python3', 'python3', '-c', 'import os; print(os.sched_getscheduler(0), os.nice(0))')"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[0] in ("idle", "nice")
    assert int(out[1]) == os.SCHED_IDLE if out[0] == "idle" else int(out[2]) == 19
