"""A task with open answers moves to a language model that was trained on them, by the real loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generative_fixtures import COLOURS, TOY, ParcelDesk, parcels, write_toy
from loop_fixtures import chat

from freehold.config import RolloutSettings
from freehold.domain.chat import answer_schema, parse_chat
from freehold.domain.events import Job
from freehold.evaluate.reports import newest
from freehold.serving.answering import answers_of
from freehold.store.artifacts import check_files, read_dataset, read_student
from freehold.train import train_student

REFUSAL = "I'm sorry, but I can't help with that."


def job_of(desk: ParcelDesk) -> Job:
    return desk.store.control.jobs.list(desk.task_id, newest_first=True)[0]


def results(job: Job) -> dict[str, Any]:
    return {step.name: step.result for step in job.steps}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParcelDesk]:
    folder = tmp_path_factory.mktemp("parcels")
    desk = ParcelDesk(folder / "data", write_toy(folder), rollout=RolloutSettings(shadow_requests=20))
    desk.send(parcels(900, mistakes=0.01))
    desk.loop.turn()
    yield desk
    desk.close()


def test_it_is_trained_certified_and_begins_unseen(moved: ParcelDesk) -> None:
    job, rung = job_of(moved), moved.rung
    assert job.state == "done", job.error
    assert rung is not None and (rung.kind, rung.stage) == ("generative", "shadow")
    student = moved.store.control.students.get(rung.student)
    assert student is not None and student.kind == "generative" and student.metrics["tune_agreement"] > 0.9
    assert student.training is not None and "torch" in student.training.packages
    certificate = moved.store.control.certificates.get(rung.certificate)
    assert certificate is not None and certificate.loss == "harm" and certificate.coverage > 0.5
    told = [event.message for event in moved.events("student-trained", "promoted")]
    assert "agreement on rows it had not seen" in told[0] and "proved itself unseen" in told[1]


def test_what_is_stored_answers_as_it_did_and_every_file_is_hashed(moved: ParcelDesk) -> None:
    rung = moved.rung
    assert rung is not None
    student = moved.store.control.students.get(rung.student)
    dataset = student and moved.store.control.datasets.get(student.dataset_id)
    assert student is not None and dataset is not None
    folder = moved.store.data / student.path
    manifest, tensors = read_student(folder, student.sha256)
    check_files(folder, manifest)
    assert {"model/model.safetensors", "model/tokenizer.json", "model/config.json"} <= set(manifest["files"])
    samples = [row for row in read_dataset(moved.store.data / dataset.path, dataset.sha256) if row.part == "tune"]
    given = answers_of(moved.store.data, student, [row.prompt for row in samples])
    assert [one.text for one in given] == json.loads(tensors["tune_answers"].tobytes())
    assert [one.signal for one in given] == pytest.approx(tensors["tune_signals"].tolist(), abs=1e-4)


def test_the_comparison_and_the_safety_check_are_kept_for_people(moved: ParcelDesk) -> None:
    found = newest(moved.store, moved.task_id)
    assert found.comparison is not None and found.safety is not None
    compared, safety = found.comparison.report, found.safety.report
    assert compared.part == "tune" and compared.overall.candidate > 0.9  # type: ignore[union-attr]
    assert compared.costs.candidate_cpu_seconds > 0  # type: ignore[union-attr]
    assert safety.passed and {"refusals-kept", "verbatim"} & {check.name for check in safety.checks}  # type: ignore


def test_training_it_again_gives_the_same_bytes(moved: ParcelDesk, tmp_path: Path) -> None:
    """Elsewhere: where it is stored already, it is not trained again."""
    dataset = moved.store.control.datasets.get(results(job_of(moved))["curate"]["dataset"])
    assert dataset is not None and moved.rung is not None
    known = moved.store.control.students.get(moved.rung.student)
    assert train_student(moved.store, moved.settings, dataset.dataset_id, 0) == known
    folder = moved.store.data / moved.rung.path
    aside = tmp_path / "aside"
    folder.rename(aside)
    try:
        again = train_student(moved.store, moved.settings, dataset.dataset_id, 0)
        assert again.sha256 == moved.rung.sha256
    finally:
        if not folder.exists():
            aside.rename(folder)


def form(**properties: Any) -> dict[str, Any]:
    """A request's `response_format`."""
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "parcel", "schema": schema}}}


COLOUR, DOCK = {"enum": list(COLOURS)}, {"enum": list(range(10))}


@pytest.mark.parametrize(
    ("asking", "kept"),
    [
        (form(colour=COLOUR, dock=DOCK), True),
        (form(dock=DOCK, colour=COLOUR), False),
        (form(colour={"type": "string", "pattern": "(?=red)"}, dock=DOCK), False),
    ],
    ids=["as answered", "in another order", "no grammar"],
)
def test_answers_are_kept_to_the_schema_that_all_requests_had_if_they_can_be(
    asking: dict[str, Any], kept: bool, tmp_path: Path
) -> None:
    """Two epochs are too few to learn the form; look-ahead is nothing that a grammar can keep to."""
    toy = write_toy(tmp_path, TOY.replace("epochs = 14.0", "epochs = 2.0"))
    desk = ParcelDesk(tmp_path / "data", toy, asking=asking)
    desk.send(parcels(500))
    desk.loop.turn()
    [student] = desk.store.control.students.list()
    manifest, tensors = read_student(desk.store.data / student.path, student.sha256)
    answers = json.loads(tensors["tune_answers"].tobytes())
    ended = [answer for answer, signal in zip(answers, tensors["tune_signals"], strict=True) if signal > 0]
    assert len(answers) > 20
    if kept:
        assert manifest["answer_schema"] == answer_schema(parse_chat(chat("", **asking)))
        assert ended and all(json.loads(answer)["colour"] in COLOURS for answer in ended)
    else:
        assert manifest["answer_schema"] == ""
    desk.close()


def test_a_student_that_lost_the_guards_is_not_promoted(tmp_path: Path) -> None:
    """The incumbent refuses what nobody may order; the student was taught answers alone."""
    toy = write_toy(tmp_path)
    desk = ParcelDesk(tmp_path / "data", toy)
    desk.send(parcels(500))
    desk.send((f"weapon parcel, dock {n % 10}", REFUSAL) for n in range(3))
    desk.loop.turn()
    job, found = job_of(desk), newest(desk.store, desk.task_id)
    assert found.safety is not None
    failed = {check.name for check in found.safety.report.failures}  # type: ignore[union-attr]
    promising = results(job)["evaluate"]
    if failed:
        assert promising["unsafe"] and desk.rung is None and "certify" not in results(job)
    else:  # it left them to the incumbent: then it may answer the rest
        assert promising.get("unsafe") is None
    desk.close()


def test_a_dataset_that_contradicts_itself_fails_the_job_and_says_what_to_do(tmp_path: Path) -> None:
    desk = ParcelDesk(tmp_path / "data", write_toy(tmp_path))
    rows = parcels(500)
    desk.send((prompt, json.dumps({"colour": "red", "dock": number % 10})) for number, (prompt, _) in enumerate(rows))
    desk.loop.turn()
    job = job_of(desk)
    assert job.state == "failed" and "contradicts itself" in job.error and desk.rung is None
    task = desk.store.control.tasks.get(desk.task_id)
    assert task is not None and "contradicts itself" in task.note
    desk.close()
