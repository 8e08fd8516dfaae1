"""Recall: traffic moves back in a running gateway, everything downstream is found and marked, and the loop trains anew
without the rows; also when the process is killed at any step."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chaos import Chaos, well_behaved
from cli_fixtures import Run
from gateway_process import ENVIRONMENT, GatewayProcess
from loop_fixtures import chat, urgency
from recall_fixtures import APART, TAUGHT, Branch
from waiting import wait_for
from wire import ask, post

from freehold.curate import build_dataset
from freehold.curate.export import export_dataset
from freehold.domain.errors import LeaseHeld, NotFound, RightsError, StoreError
from freehold.domain.recalls import Recall
from freehold.loop import Loop
from freehold.loop.recall import Wanted, end_recall, look, recall_rows
from freehold.promote import promote
from freehold.store import exclusive
from freehold.store.artifacts import read_dataset
from freehold.store.recalls import Recalls, holds, read_rows, recalled
from freehold.train import train_student


def _owned(url: str) -> int:
    """Of ten requests, how many a student answers."""
    answers = [ask(url, post(chat(user))) for user, _ in urgency(5, 10)]
    assert all(answer.status == 200 for answer in answers)
    return sum(answer.headers["x-freehold-answered-by"].startswith("student/") for answer in answers)


def test_a_recall_moves_traffic_back_in_a_running_gateway(branch: Branch, run: Run) -> None:
    with Chaos({"good": well_behaved}) as chaos:
        branch.point_at(chaos.base_url("good"))
        with GatewayProcess(branch.folder) as gateway:
            assert _owned(gateway.url) >= 5
            recall = ("rights", "recall", "--provider", "inc", "--json", *branch.option)
            code, out, _ = run(*recall, "--dry-run")
            looked = json.loads(out)
            assert (code, looked["dry_run"], set(looked["serving"])) == (0, True, {branch.task, TAUGHT})
            assert _owned(gateway.url) >= 5 and not branch.store.control.recalls.list(), "so far nobody recalled it"
            assert run(*recall)[0] == 2, "nobody can be asked"
            report = branch.folder / "report.json"
            code, out, err = run(*recall, "--yes", "--out", str(report))
            assert code == 0, (out, err)
            wait_for(lambda: _owned(gateway.url) == 0, 5, "the incumbent answers everything")
    done = json.loads(out)
    assert done["rows"][branch.task] >= 900 and set(done["moved_back"]) == {branch.task, TAUGHT}
    assert branch.in_force() == {APART}
    assert run("rights", "recall", "verify", str(report), *branch.option)[0] == 0
    report.write_bytes(report.read_bytes().replace(b'"state":"done"', b'"state":"gone"'))
    assert run("rights", "recall", "verify", str(report), *branch.option)[0] != 0
    report.write_bytes(json.dumps({**done, "reason": "other"}).encode())
    assert run("rights", "recall", "verify", str(report), *branch.option)[0] == 7


def test_what_rests_on_a_student_that_was_taught_by_it_is_found_and_nothing_else(branch: Branch) -> None:
    store, settings = branch.store, branch.settings
    recall = recall_rows(store, settings, Wanted("provider", "inc", reason="They changed their terms."))
    original = store.control.students.get(branch.rung.student)
    assert original is not None
    assert recall.state == "done" and holds(recall, store.keys.public_key())
    assert set(recall.datasets) == {original.dataset_id, f"ds_{TAUGHT}"}
    assert set(recall.students) == {original.student_id, f"st_{TAUGHT}"}
    assert set(recall.certificates) == {branch.rung.certificate, f"ce_{TAUGHT}"}
    assert recall.releases == ("rl_1",)
    assert len(recall.policies) >= 1 and store.control.policy(recall.policies[-1]).tasks[TAUGHT].rungs
    assert recalled(store, f"st_{APART}") is None and recalled(store, f"st_{TAUGHT}") == recall
    assert {plan.task: (plan.left, plan.wanted) for plan in recall.plan}[branch.task] == (0, 600)
    with pytest.raises(RightsError, match="was recalled"):
        promote(store, settings, branch.rung.certificate, 1)
    with pytest.raises(RightsError, match="was recalled"):
        train_student(store, settings, original.dataset_id, 1)
    events = [event for event in store.control.events(50) if event.kind in ("recalled", "rolled-back")]
    assert sorted(event.kind for event in events) == ["recalled", "rolled-back", "rolled-back"]
    assert recall_rows(store, settings, Wanted("provider", "inc", reason="They changed their terms.")) == recall
    assert [event for event in store.control.events(50) if event.kind in ("recalled", "rolled-back")] == events


def test_the_loop_trains_anew_without_the_rows_and_promotes_again(branch: Branch) -> None:
    store, settings = branch.store, branch.settings
    recall_rows(store, settings, Wanted("provider", "inc"))
    Loop(store, settings).until_idle()
    assert branch.task not in branch.in_force(), "of what was recalled nothing comes back"
    fresh = set(branch.record(range(5000, 5900), "other/gpt"))
    Loop(store, settings).until_idle()
    rung = store.control.current_policy().tasks[branch.task].rungs[0]
    student = store.control.students.get(rung.student)
    assert student is not None and recalled(store, student.student_id) is None
    dataset = store.control.datasets.get(student.dataset_id)
    assert dataset is not None and dataset.left_out["recalled: provider inc"] == 900
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    assert {sample.trace_id for sample in samples} <= fresh


def test_a_key_a_subject_and_a_licence_since_a_day(branch: Branch) -> None:
    store, settings = branch.store, branch.settings
    old = branch.record(range(2000, 2020), key="key_bad", at_ns=10)
    new = branch.record(range(2020, 2050), key="key_bad")
    theirs = branch.record(range(2100, 2110), subject="customer-1")
    licensed = branch.record(range(2200, 2240), "other/another")
    by_key = recall_rows(store, settings, Wanted("key", "key_bad", since_ns=100))
    assert (by_key.rows, by_key.students, by_key.moved_back) == ({branch.task: 30}, (), ())
    by_subject = recall_rows(store, settings, Wanted("subject", "customer-1"))
    assert by_subject.rows == {branch.task: 10} and "customer-1" not in str(by_subject)
    left = {plan.task: plan for plan in by_subject.plan}[branch.task]
    assert left.left == 900 + 20 + 40 and left.enough
    by_licence = recall_rows(store, settings, Wanted("licence", "mit"))
    assert by_licence.rows == {branch.task: 40} and branch.in_force() == {branch.task, TAUGHT, APART}
    late = branch.record(range(2300, 2305), key="key_bad")
    dataset = build_dataset(store, settings, branch.task, 1)
    rows = {sample.trace_id for sample in read_dataset(store.data / dataset.path, dataset.sha256)}
    assert rows.isdisjoint({*new, *late, *theirs, *licensed}) and rows >= set(old)
    assert {reason: count for reason, count in dataset.left_out.items() if reason.startswith("recalled")} == {
        "recalled: key key_bad": 35,
        "recalled: a subject": 10,
        "recalled: licence mit": 40,
    }
    end_recall(store, by_key.recall_id, 8 * 10**18)
    row = {"trace_id": "tr_x", "at_ns": 9 * 10**18, "answered_by": "inc/gpt", "terms": "own", "key": "key_bad"}
    assert not Recalls(store).why_not({**row, "subject": None})
    assert Recalls(store).why_not({**row, "subject": None, "at_ns": 10**18})
    for wanted in (Wanted("provider", "inc", since_ns=9 * 10**18), Wanted("key", "key_other")):
        with pytest.raises(NotFound, match="Nothing is recorded"):
            look(store, settings, wanted)


def test_a_ladder_that_was_fitted_to_a_rented_models_answers_goes_back(branch: Branch) -> None:
    certificate = branch.put_ladder(APART, "other/another")
    recall = recall_rows(branch.store, branch.settings, Wanted("provider", "other"))
    assert set(recall.certificates) == {certificate, f"ce_{APART}"} and recall.moved_back == (APART,)
    assert branch.in_force() == {branch.task, TAUGHT}


def test_a_list_of_rows_that_was_changed_is_not_believed(branch: Branch) -> None:
    recall = recall_rows(branch.store, branch.settings, Wanted("provider", "inc"))
    assert len(read_rows(branch.store, recall.rows_sha256)) == 900
    (path,) = (branch.store.data / "recalls").glob("*/rows.parquet")
    pl.read_parquet(path).head(5).write_parquet(path)
    with pytest.raises(StoreError, match="does not list"):
        build_dataset(branch.store, branch.settings, branch.task, 1)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        Recalls(branch.store)
    with pytest.raises(RightsError, match="was recalled"):
        export_dataset(branch.store, recall.datasets[0], branch.folder / "out", "parquet", "train_classifier", (), 1)


def test_a_job_under_way_is_waited_for_and_the_traffic_is_back_before(branch: Branch) -> None:
    store, settings = branch.store, branch.settings
    with exclusive(store.data / "locks" / f"move-{branch.task}.lock"):
        with pytest.raises(LeaseHeld, match="still under way"):
            recall_rows(store, settings, Wanted("provider", "inc"), wait_seconds=0.2)
        assert branch.in_force() == {APART}
        (recall,) = store.control.recalls.list()
        assert recall.state == "running" and recalled(store, branch.rung.student) is not None
    assert recall_rows(store, settings, Wanted("provider", "inc")).state == "done"


_KILLED = """
import os, signal, sys
from pathlib import Path
from freehold.config import load_settings
from freehold.loop.recall import Wanted, recall_rows
from freehold.record.opening import open_store
left = int(sys.argv[3])
def at_step(name):
    global left
    left -= name == sys.argv[2]
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
settings = load_settings(Path(sys.argv[1]))
recall_rows(open_store(settings), settings, Wanted("provider", "inc"), at_step=at_step)
"""
KILLED_BEFORE = (("mark", 1), ("move", 2), ("jobs", 1), ("report", 1))
"""Step, and which time it is done."""


def test_killed_between_steps_it_carries_on_to_the_same_report(branch: Branch, tmp_path: Path) -> None:
    copy = tmp_path / "whole"
    copy.mkdir()
    shutil.copytree(branch.settings.data, copy / "data")
    shutil.copy(branch.config, copy)
    forces: list[set[str]] = []
    for step, time in KILLED_BEFORE:
        command = [sys.executable, "-c", _KILLED, str(branch.config), step, str(time)]
        assert subprocess.run(command, env=ENVIRONMENT, timeout=120).returncode == -signal.SIGKILL
        forces.append(branch.in_force())
    assert [len(force) for force in forces] == [3, 2, 1, 1]
    report = recall_rows(branch.store, branch.settings, Wanted("provider", "inc"))
    assert _figures(report) == _figures(Branch.recall_at(copy)) and holds(report, branch.store.keys.public_key())
    kinds = [event.kind for event in branch.store.control.events(50)]
    assert (kinds.count("rolled-back"), kinds.count("recalled")) == (2, 1)
    assert branch.in_force() == {APART}


def _figures(recall: Recall) -> dict[str, Any]:
    names = ("recall_id", "rows", "rows_sha256", "datasets", "students", "certificates", "policies", "releases",
             "moved_back", "plan", "state")  # fmt: skip
    return {name: getattr(recall, name) for name in names}
