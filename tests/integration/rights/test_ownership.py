"""The ownership score over a real store: every point is got by what is there, and lost when it is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cli_fixtures import Run

from freehold.config import Settings, UpstreamSettings
from freehold.domain.drills import Drill, DrillLine, DrillReport, Outcome
from freehold.domain.evidence import Certificate, CertifiedRung, Dataset, Sample, Student, Verdict, signed_bytes
from freehold.domain.ids import new_id
from freehold.domain.ownership import QUESTIONS, TaskOwnership
from freehold.domain.policy import Ladder, LadderModel, Policy, Rung, TaskPolicy
from freehold.domain.recalls import Recall
from freehold.domain.tasks import AnswerForm, Task
from freehold.release.ownership import DRILL_DAYS, ownership
from freehold.store import Store
from freehold.store.artifacts import SAMPLES, TENSORS, write_dataset, write_student

TASK = "task_0123456789abcdef01234567"
DAY_NS = 86_400 * 10**9


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    rented = UpstreamSettings(base_url="https://api.openai.com/v1")
    return Settings(upstreams={"rented": rented}, data_dir=str(tmp_path / "data"))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.open(settings.data, settings.control_url)) as opened:
        opened.control.tasks.put(Task(task_id=TASK, name="triage"))
        yield opened


def put_student(store: Store, terms: str = "own", name: str = "one") -> Student:
    """A dataset under `terms`, and a student that was trained on it."""
    row: dict[str, Any] = {"prompt": "p", "answer": "a", "part": "fit", "input_tokens": 1, "output_tokens": 1}
    rows = [Sample(trace_id=f"tr_{at}", at_ns=at, terms=terms, uniform=True, **row) for at in range(20)]
    verdict = Verdict(action="train_classifier", outcome="allow", subject=terms, reason="said so")
    dataset = Dataset(
        dataset_id=f"ds_{name}",
        task=TASK,
        path=f"datasets/{name}",
        sha256=write_dataset(store.datasets_root / name, rows),
        rows=len(rows),
        parts={"fit": len(rows)},
        left_out={},
        verdicts=(verdict,),
        form=AnswerForm(kind="label"),
        since_ns=0,
        until_ns=20,
        created_ns=time.time_ns(),
    )
    store.control.datasets.put(dataset)
    student = Student(
        student_id=f"st_{name}",
        task=TASK,
        dataset_id=dataset.dataset_id,
        kind="classifier",
        path=f"students/{name}",
        sha256=write_student(store.students_root / name, {"name": name}, {"w": np.ones(8, np.float32)}),
        verdicts=(verdict,),
        metrics={},
        created_ns=time.time_ns(),
    )
    store.control.students.put(student)
    return student


def certify(store: Store, *rungs: tuple[str, str, str]) -> str:
    """A certificate of rungs (name, hash, hash of the signal), signed by the installation; its id."""
    no_figures: dict[str, Any] = dict.fromkeys(
        ("epsilon", "delta", "delta_spent", "loss_sum", "p_value", "loss_estimate", "loss_upper", "coverage"), 0.0
    )
    unsigned = Certificate(
        certificate_id=new_id("ce"),
        version=2,
        task=TASK,
        rungs=tuple(
            CertifiedRung(
                kind="student",
                name=name,
                sha256=sha256,
                record_sha256="",
                signal="",
                signal_path="",
                signal_sha256=signal,
                novelty_limit=1.0,
            )
            for name, sha256, signal in rungs
        ),
        thresholds=(0.5,),
        dataset_id="",
        dataset_sha256="",
        evidence_path="",
        evidence_sha256="",
        loss="disagreement",
        scorer="",
        risk="served",
        test="exact binomial",
        attempt=1,
        certify_rows=1,
        accepted=1,
        traffic_loss_upper=0.0,
        self_disagreement=None,
        tested=(),
        assumptions=(),
        software="test",
        issued_ns=time.time_ns(),
        public_key=store.keys.public_key(),
        **no_figures,
    )
    signature = store.keys.sign(signed_bytes(unsigned))
    store.control.certificates.put(msgspec.structs.replace(unsigned, signature=signature))
    return unsigned.certificate_id


def promote(store: Store, student: Student | None, ladder: Ladder | None = None, certificate: str = "") -> None:
    rungs: tuple[Rung, ...] = ()
    if student is not None:
        rung = Rung(
            student=student.student_id,
            path=student.path,
            sha256=student.sha256,
            threshold=0.5,
            novelty_limit=1.0,
            certificate=certificate or certify(store, (student.student_id, student.sha256, student.sha256)),
            fingerprints=(),
        )
        rungs = (rung,)
    policy = Policy(reason="test", tasks={TASK: TaskPolicy(task=TASK, rungs=rungs, ladder=ladder)})
    store.control.publish_policy(policy, store.control.policy_version())


def put_drill(store: Store, outcomes: dict[Outcome, int], days_ago: float = 1.0, number: int = 1) -> None:
    until = time.time_ns() - int(days_ago * DAY_NS)
    total = sum(outcomes.values())
    line = DrillLine(key=TASK, name="triage", requests=total, outcomes=outcomes)
    drill = Drill(
        drill_id=f"dr_{number:08d}",
        without=("rented",),
        upstreams=("rented",),
        state="ended",
        since_ns=until - 60 * 10**9,
        until_ns=until,
        wanted_seconds=60,
        report=DrillReport(seconds=60, requests=total, outcomes=outcomes, tasks=(line,)),
        created_ns=until,
        updated_ns=until,
    )
    store.control.drills.put(drill)


def look(store: Store, settings: Settings) -> TaskOwnership:
    found = ownership(store, settings)
    [task] = found.tasks
    assert (found.got, found.possible) == (task.got, task.possible) and task.possible == len(QUESTIONS)
    for point in task.points:
        assert point.answer and point.command.startswith("freehold ") and point.checked_ns == found.checked_ns
        assert bool(point.todo) != bool(point.got), point  # what was not got says how to get it
    return task


def lost(task: TaskOwnership) -> set[str]:
    return {point.question for point in task.points if not point.got}


def evidence(task: TaskOwnership, question: str) -> str:
    point = next(point for point in task.points if point.question == question)
    return " ".join((point.answer, *point.evidence))


def test_all_points_of_what_is_wholly_owned(store: Store, settings: Settings) -> None:
    promote(store, put_student(store))
    put_drill(store, {"certified": 30, "uncertified": 5})
    task = look(store, settings)
    assert lost(task) == set() and task.answered_by == ("st_one",)
    assert "2 files" in evidence(task, "weights") and "20 rows" in evidence(task, "data")


def test_nothing_is_owned_while_the_incumbent_answers(store: Store, settings: Settings) -> None:
    assert lost(look(store, settings)) == set(QUESTIONS)
    put_student(store)
    promote(store, None)
    task = look(store, settings)
    assert lost(task) == {"weights", "ending", "limits", "outputs", "drill"} and "st_one is kept" in evidence(
        task, "weights"
    )


@pytest.mark.parametrize("damage", ["tensors", "manifest", "missing", "record"])
def test_weights_are_hashed_now(store: Store, settings: Settings, damage: str) -> None:
    student = put_student(store)
    promote(store, msgspec.structs.replace(student, student_id="st_gone") if damage == "record" else student)
    assert "weights" not in lost(look(store, settings))
    victim = store.data / student.path / ("manifest.json" if damage == "manifest" else TENSORS)
    if damage == "missing":
        victim.unlink()
    elif damage != "record":
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(data)
    found = lost(look(store, settings))
    assert ("data" if damage == "record" else "weights") in found


def test_weights_that_no_certificate_names_do_not_count(store: Store, settings: Settings) -> None:
    student = put_student(store)
    promote(store, student, certificate="ce_nobody_knows")
    assert "no certificate in force" in evidence(look(store, settings), "weights")
    promote(store, student, certificate=certify(store, (student.student_id, "ab" * 32, "cd" * 32)))
    assert "weights" in lost(look(store, settings))
    known = store.control.certificates.get(certify(store, (student.student_id, student.sha256, student.sha256)))
    assert known is not None
    forged = msgspec.structs.replace(known, certificate_id="ce_forged", signature="00" * 64)
    store.control.certificates.put(forged)
    promote(store, student, certificate="ce_forged")
    assert "weights" in lost(look(store, settings))
    promote(store, student, certificate=known.certificate_id)
    assert "weights" not in lost(look(store, settings))


def test_data_is_hashed_now_and_may_not_be_recalled(store: Store, settings: Settings) -> None:
    student = put_student(store)
    promote(store, student)
    assert "data" not in lost(look(store, settings))
    recall = Recall(recall_id="re_1", kind="provider", value="x", created_ns=1, datasets=(student.dataset_id,))
    store.control.recalls.put(recall)
    assert "was recalled" in evidence(look(store, settings), "data")
    store.control.recalls.put(msgspec.structs.replace(recall, datasets=()))
    (store.datasets_root / "one" / SAMPLES).write_bytes(b"something else")
    assert "data" in lost(look(store, settings))


def test_what_others_have_a_hand_on(store: Store, settings: Settings) -> None:
    promote(store, put_student(store, "openai-api"))
    task = look(store, settings)
    assert "limits" in lost(task) and "ending" not in lost(task) and "outputs" not in lost(task)
    assert "distribute st_one: deny, openai-api/students-kept (" in evidence(task, "limits")
    assert "2026-11-20; not legal advice" in evidence(task, "limits")
    promote(store, put_student(store, "gemma-tou-2025-03-24", "two"))  # hands its terms on, and may restrict use
    task = look(store, settings)
    assert "ending" in lost(task) and "gemma-tou-2025-03-24: the licensor may end" in evidence(task, "ending")
    assert "outputs" not in lost(task)  # they are the user's, the text says
    promote(store, put_student(store, "stability-community-2024", "three"))
    assert "annual-revenue" in evidence(look(store, settings), "ending")  # a threshold that goes on


def test_drills_count_while_they_are_new_and_held(store: Store, settings: Settings) -> None:
    promote(store, put_student(store))
    put_drill(store, {"certified": 9}, days_ago=DRILL_DAYS + 2, number=1)
    assert "more than 90" in evidence(look(store, settings), "drill")
    put_drill(store, {"certified": 9, "failed": 1}, days_ago=2, number=2)
    assert "1 of 10 requests" in evidence(look(store, settings), "drill")
    put_drill(store, {"pinned": 3}, days_ago=1, number=3)  # nothing of it was rerouted: the one before counts
    assert "drill" in lost(look(store, settings))
    put_drill(store, {"certified": 9, "stand-in": 1}, days_ago=0, number=4)
    assert "drill" not in lost(look(store, settings))


def test_a_ladder_is_as_owned_as_the_least_of_it(store: Store, settings: Settings) -> None:
    student = put_student(store)
    router = write_student(store.data / "routers/r1", {"router": 1}, {"w": np.ones(2, np.float32)})
    own = LadderModel(name=f"student/{student.student_id}", path=student.path, sha256=student.sha256)
    certificate = certify(store, (student.student_id, student.sha256, router))
    ladder = Ladder(
        router="ro_1",
        path="routers/r1",
        sha256=router,
        models=(own,),
        signal="prompt",
        certificate=certificate,
        fingerprints=(),
    )
    promote(store, None, ladder)
    assert "weights" not in lost(look(store, settings)) and "ro_1" in evidence(look(store, settings), "weights")
    rented = msgspec.structs.replace(ladder, models=(own, LadderModel(name="rented/small")))
    promote(store, None, rented)
    assert {"weights", "ending", "limits"} <= lost(look(store, settings))
    (store.data / "routers/r1" / TENSORS).write_bytes(b"")
    promote(store, None, ladder)
    assert "Not all of them: ro_1" in evidence(look(store, settings), "weights")


def test_the_command(run: Run, store: Store, settings: Settings, tmp_path: Path) -> None:
    promote(store, put_student(store, "openai-api"))
    put_drill(store, {"certified": 30})
    config = tmp_path / "freehold.toml"
    config.write_text(f'data_dir = "{settings.data}"\n[upstreams.rented]\nbase_url = "https://api.openai.com/v1"\n')
    code, out, _ = run("rights", "ownership", "--config", str(config))
    assert (
        code == 0 and "Owned: 5 of 6 points" in out and "Not legal advice" in out and "Not all of it: distribute" in out
    )
    code, out, _ = run("rights", "ownership", "--task", "triage", "--json", "--config", str(config))
    told = json.loads(out)
    assert (told["got"], told["possible"]) == (5, 6) and "Not legal advice" in told["notice"]
    assert {point["question"] for point in told["tasks"][0]["points"]} == set(QUESTIONS)
    assert run("rights", "ownership", "--task", "nothing", "--config", str(config))[0] != 0
