"""Parts of verifying: no network, no code of the release, nothing that unpacks without end; machines compared."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from inventories import classical
from loop_fixtures import make_samples

from freehold.domain.errors import ReleaseError, StudentError
from freehold.domain.scoring import PythonScorer, SqlScorer
from freehold.evaluate.losses import described
from freehold.loop.release_jobs import ClassicalWorkshop
from freehold.release.verify.documents import parse
from freehold.release.verify.report import Missing, checked, level_of
from freehold.release.verify.training import differences
from freehold.runners.machine import RunRecorder, this_machine
from freehold.train.replay import RIGHT, SHAPES, replay_second_stage

REACH = """
import socket, sys
from freehold.runners import apart
if {refused}:
    apart._unshared = lambda: "Operation not permitted"
print(apart.cut_off())
listener = socket.socket()
try:
    listener.bind(("127.0.0.1", 0))
    socket.create_connection(listener.getsockname(), 1)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("refused", [False, True])
def test_a_process_that_was_cut_off_reaches_nobody(refused: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", REACH.format(refused=refused)], capture_output=True, text=True, timeout=60
    )
    told, error = done.stdout.splitlines()
    if "by the system" in told:
        assert not refused and error in ("OSError", "ConnectionRefusedError", "TimeoutError")
    else:
        assert "refused by Python alone" in told and error == "ReleaseError"


@pytest.mark.parametrize("scorer", [PythonScorer(tests="raise SystemExit"), SqlScorer(database="/etc/passwd")])
def test_a_scorer_that_runs_code_is_not_carried_out(scorer: Any) -> None:
    [sample] = make_samples([("a prompt", "an answer")])
    with pytest.raises(Missing, match="runs code that comes with the release"):
        ClassicalWorkshop().losses(described(scorer), ["print(1)"], [sample])
    assert ClassicalWorkshop().losses("", ["an answer"], [sample]) == [0.0]


def test_files_that_are_no_student_are_refused() -> None:
    workshop = ClassicalWorkshop()
    for files in ({}, {"manifest.json": b"{}"}, {"manifest.json": b"{}", "tensors.safetensors": b"\xff" * 9}):
        with pytest.raises(StudentError, match="model folder"):
            workshop.answers(files, [""])
    nested = b'{"a":' * 50_000
    with pytest.raises(ReleaseError, match="cannot be understood"):
        workshop.answers({"manifest.json": nested, "tensors.safetensors": b""}, [""])


def test_a_checkpoint_that_fits_nothing_is_an_error() -> None:
    for tensors in (
        {},
        {SHAPES: np.zeros((3, 1, 14), np.float32), RIGHT: np.zeros((2, 1), bool)},
        {SHAPES: np.zeros((0, 1, 14), np.float32), RIGHT: np.zeros((0, 1), bool)},
        {SHAPES: np.full((40, 1, 14), np.nan, np.float32), RIGHT: np.arange(40)[:, None] % 2 == 0},
    ):
        with pytest.raises(StudentError):
            replay_second_stage(tensors)


def test_machines_are_of_one_kind_if_nothing_that_changes_sums_differs() -> None:
    here, run = this_machine(), RunRecorder().finish()
    assert differences(run, here) == ([], [])
    more = msgspec.structs.replace(here, arithmetic=(*here.arithmetic, "mkl 1"), cores=here.cores + 1, cpu="x")
    assert [text.split()[0] for text in differences(run, more)[1]] == ["cpu", "cores"] and not differences(run, more)[0]
    other = msgspec.structs.replace(here, arithmetic=("mkl 1",), python="CPython 4")
    there = msgspec.structs.replace(run, packages={**run.packages, "numpy": "0", "click": "0"}, code={},
                                    machine=msgspec.structs.replace(run.machine, arithmetic=("blis 2",)))  # fmt: skip
    kind, noted = differences(there, other)
    assert [text.split()[0] for text in kind] == ["python", "arithmetic", "numpy"], "click adds up nothing"
    assert len(noted) == 1 and "the code of training" in noted[0]
    assert differences(None, here)[0] == ["on what it was trained is unknown"]


def test_a_level_is_reached_if_every_check_was_done_and_held() -> None:
    def missing() -> str:
        raise Missing("it is not there.", "Fetch it.")

    def never() -> str:
        raise AssertionError("later checks rest on earlier ones")

    good, lacking = checked("good", lambda: "Fine."), checked("lacking", missing)
    assert level_of(1, [good]).reached and (lacking.passed, lacking.hint) == (None, "Fetch it.")
    stopped = level_of(2, (checked(name, work) for name, work in (("lacking", missing), ("never", never))))
    assert not stopped.reached and [check.name for check in stopped.checks] == ["lacking"]


def test_an_inventory_is_read_back_as_it_was_written() -> None:
    told = classical()
    from freehold.release.inventory import Inventory, canonical_json

    assert parse(canonical_json(told), Inventory, "inventory.json", canonical=True) == told
    with pytest.raises(ReleaseError, match="says 'format' twice"):
        parse(canonical_json(told)[:-1] + b',"format":"x"}', Inventory, "inventory.json")
