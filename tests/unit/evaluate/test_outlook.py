"""What is expected of a generative student before its certify rows are looked at."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from loop_fixtures import Desk, make_samples

from freehold.domain.evidence import Dataset, Student
from freehold.domain.scoring import ExactScorer, JsonScorer, Scorer
from freehold.domain.tasks import AnswerForm, Task
from freehold.evaluate import outlook
from freehold.serving import GenerativeManifest, learn_gate
from freehold.store import Store
from freehold.store.artifacts import adopt_student, dataset_sha256, write_dataset

FIELDS = ("order", "name", "item", "paid", "day", "wish")


def form(number: int, **changes: int) -> str:
    return json.dumps(dict.fromkeys(FIELDS, number) | changes)


def store_student(store: Store, rows: int) -> str:
    """One that is as sure of every answer, and has one of six fields wrong in each thirtieth."""
    samples = make_samples([(f"form {number}", form(number)) for number in range(rows)])
    sha256 = dataset_sha256(samples)
    write_dataset(store.datasets_root / sha256[:32], samples)
    store.control.datasets.put(
        Dataset(dataset_id="ds_1", task="task_x", path=f"{store.datasets_root.name}/{sha256[:32]}", sha256=sha256,
                rows=rows, parts={}, left_out={}, verdicts=(), form=AnswerForm(kind="open"), since_ns=1, until_ns=1,
                created_ns=1)
    )  # fmt: skip
    tuned = [sample for sample in samples if sample.part == "tune"]
    wrong: dict[int, dict[str, int]] = {at: {"paid": -1} for at in range(0, len(tuned), 30)}
    answers = [
        form(int(one.prompt.split()[1]), **({"paid": -1} if at in wrong else {})) for at, one in enumerate(tuned)
    ]
    manifest = GenerativeManifest(
        task="task_x", dataset="ds_1", dataset_sha256=sha256, seed=0, recipe={}, weights="full", context=64,
        max_answer_tokens=32, parameters=1, input_tokens_fixed=0.0, input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )  # fmt: skip
    tensors = {
        "gate_vocabulary": learn_gate(sample.prompt for sample in samples).vocabulary,
        "fit_novelty": np.zeros(3, np.float32),
        "tune_answers": np.frombuffer(msgspec.json.encode(answers), np.uint8),
        "tune_signals": np.full(len(tuned), 0.97),
        "tune_novelty": np.zeros(len(tuned)),
    }
    (store.data / "made").mkdir()
    student_sha256 = adopt_student(
        store.data / "students" / "st_1", store.data / "made", msgspec.to_builtins(manifest), tensors
    )
    store.control.students.put(
        Student(student_id="st_1", task="task_x", dataset_id="ds_1", kind="generative", path="students/st_1",
                sha256=student_sha256, verdicts=(), metrics={}, created_ns=1)
    )  # fmt: skip
    return "st_1"


@pytest.mark.parametrize(("scorer", "promising"), [(JsonScorer(), True), (ExactScorer(), False)])
def test_an_unsure_answer_costs_as_much_as_wrong_ones_do(scorer: Scorer, promising: bool, tmp_path: Path) -> None:
    """3% of the answers are wrong. By fields that is a loss of half a percent; signals speak of whole answers."""
    desk = Desk(tmp_path)
    desk.store.control.tasks.put(Task(task_id="task_x", name="x", epsilon=0.02, delta=0.1, scorer=scorer))
    view = outlook(desk.store, store_student(desk.store, 2400))
    assert view.rows == 800 and view.certify_rows == 800
    assert (view.chance > 0.8) == promising
    assert view.loss == pytest.approx(1 / 30 / 6 if promising else 1 / 30, rel=0.1)
    desk.close()
