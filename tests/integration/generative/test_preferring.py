"""A task's student learns preferences: from what people said, and from where the newest student was worse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from generative_fixtures import ParcelDesk, parcels
from generative_rows import recipe as made_recipe
from tiny_models import make_adapter, make_model

from freehold.config import ModelSettings
from freehold.domain.errors import ConfigError, EvidenceError
from freehold.domain.evidence import Dataset, Sample, StepCount, Student
from freehold.domain.recalls import Recall
from freehold.domain.scoring import JsonScorer, JudgeScorer
from freehold.domain.traces import Feedback
from freehold.loop import Move, new_move
from freehold.record.sealer import Sealer
from freehold.serving import GenerativeManifest
from freehold.serving.bases import find_base
from freehold.serving.bases.places import remember_base
from freehold.serving.gate import VOCABULARY, learn_gate
from freehold.store.artifacts import adopt_student, read_dataset, read_student
from freehold.train.generative.preferring import parted, preferred
from freehold.train.recipes import Recipe, load_recipe

DPO = """
name = "prefer"
about = "For tests."
method = "dpo"
max_answer_tokens = 24
[model]
from = "base"
[adapter]
rank = 4
targets = ["q_proj", "v_proj"]
[data]
context = 128
[optimizer]
rate = 0.001
[run]
epochs = 1.0
batch_tokens = 4096
evaluate_every = 2
[preference]
pairs = "{pairs}"
"""


class Made(NamedTuple):
    """A desk whose task has a student already, and what a job made of it since."""

    desk: ParcelDesk
    earlier: Student
    dataset: Dataset
    student: Student
    events: list[Any]

    @property
    def samples(self) -> list[Sample]:
        return read_dataset(self.desk.store.data / self.dataset.path, self.dataset.sha256)

    @property
    def base(self) -> Any:
        return find_base(self.desk.settings, "tiny")

    def preferred(self, recipe: Recipe, dataset: Dataset | None = None, scorer: Any = None) -> Any:
        base = (self.base.used, self.base.folder)
        told = scorer or JsonScorer()
        return preferred(self.desk.store, dataset or self.dataset, self.samples, recipe, base, told)


def put_earlier(desk: ParcelDesk, folder: Path) -> Student:
    """A student in random weights: an adapter on `tiny`, of a dataset of the organisation's own answers."""
    base = find_base(desk.settings, "tiny")
    remember_base(desk.store.data, base.used, base.folder)
    make_adapter(folder / "adapter")
    manifest = GenerativeManifest(
        task=desk.task_id, dataset="ds_before", dataset_sha256="", seed=0, recipe={"method": "sft"}, weights="adapter",
        base=base.used, context=128, max_answer_tokens=12, parameters=1, input_tokens_fixed=0,
        input_tokens_per_character=0, output_tokens_per_character=0,
    )  # fmt: skip
    tensors = {VOCABULARY: learn_gate(["a parcel"]).vocabulary}
    place = desk.store.data / "students" / "before"
    sha256 = adopt_student(place, folder, msgspec.to_builtins(manifest), tensors)
    student = Student(
        student_id="st_before", task=desk.task_id, dataset_id="ds_before", kind="generative", path="students/before",
        sha256=sha256, verdicts=(), metrics={}, created_ns=1, base="tiny", base_licence="apache-2.0",
    )  # fmt: skip
    desk.store.control.students.put(student)
    return student


def put_feedback(desk: ParcelDesk) -> None:
    """People mend the answers to thirty requests."""
    from freehold.store.traces.read import read_traces

    Sealer(desk.store, desk.settings.upstreams).seal_once()
    ids = sorted(read_traces(desk.store, columns=("trace_id",)).get_column("trace_id").to_list())
    journal = desk._journal  # pyright: ignore[reportPrivateUsage]
    for number, trace_id in enumerate(ids[:30]):
        edit = json.dumps({"colour": "mended", "dock": number})
        journal.append(Feedback(feedback_id=f"fb_{number:08}", trace_id=trace_id, at_ns=1, edit=edit))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("preferring")
    make_model(folder / "models" / "tiny")
    toml = folder / "prefer.toml"
    toml.write_text(DPO.format(pairs="both"), encoding="utf-8")
    desk = ParcelDesk(folder / "data", toml, base="tiny")
    desk.settings = msgspec.structs.replace(desk.settings, models=ModelSettings(folders=(str(folder / "models"),)))
    rows = parcels(450)
    desk.send(rows[:300])  # too few to begin a job
    desk.loop.turn()
    desk.send(rows[300:])
    put_feedback(desk)
    Sealer(desk.store, desk.settings.upstreams).seal_once()
    earlier = put_earlier(desk, folder / "earlier")
    first = Move(desk.store, desk.settings, new_move(desk.store, desk.task_id))
    first.run("curate")
    dataset = desk.store.control.datasets.get(first.result("curate")["dataset"])
    assert dataset is not None
    before = msgspec.structs.replace(dataset, dataset_id="ds_before", task="t_gone")
    desk.store.control.datasets.put(before)
    told: list[Any] = []
    move = Move(desk.store, desk.settings, first.job, watch=told.append)
    move.run("train")
    student = desk.store.control.students.get(move.result("train")["student"])
    assert student is not None and told and told[-1].step == told[-1].steps
    yield Made(desk, earlier, dataset, student, told)
    desk.close()


def test_a_job_tunes_the_newest_student_by_pairs_of_both_kinds(made: Made) -> None:
    student = made.student
    assert (student.parent, student.base) == ("st_before", "tiny")
    assert student.metrics["pairs"] > 100 and "examples" not in student.metrics
    manifest, _ = read_student(made.desk.store.data / student.path, student.sha256)
    assert {"adapter/adapter_model.safetensors", "adapter/adapter_config.json"} <= set(manifest["files"])
    assert student.training is not None and "trl" in student.training.packages
    found = made.preferred(load_recipe(made.desk.settings.students.recipe))
    assert {pair.source for pair in found.pairs} == {"feedback", "incumbent"}
    assert found.student == "st_before" and found.start.adapter.endswith("students/before/adapter")
    fit_prompts, tune_prompts = ({pair.prompt for pair in part} for part in parted(found.pairs))
    assert tune_prompts and not fit_prompts & tune_prompts
    rows = {sample.prompt for sample in made.samples if sample.part == "fit"}
    assert fit_prompts | tune_prompts <= rows, "what certifies gives no pairs"


def test_the_same_job_again_gives_the_student_that_is_there(made: Made) -> None:
    """Though a newer student is there now, which would answer otherwise: the one that was made."""
    move = Move(made.desk.store, made.desk.settings, new_move(made.desk.store, made.desk.task_id))
    move.run("train")
    assert move.result("train")["student"] == made.student.student_id


def test_what_people_wrote_is_passed_over_where_curating_takes_something_out(made: Made) -> None:
    recipe = load_recipe(made.desk.settings.students.recipe)
    for step in ("redact", "secrets"):
        hidden = msgspec.structs.replace(made.dataset, steps=(StepCount(step=step, took=9, gave=9),))
        assert {pair.source for pair in made.preferred(recipe, hidden).pairs} == {"incumbent"}
    with pytest.raises(EvidenceError, match="0 of feedback, 0 of the incumbent"):
        made.preferred(recipe, hidden, JudgeScorer(model="inc/judge"))


def test_an_earlier_student_of_other_terms_or_another_base_is_not_gone_on_from(made: Made) -> None:
    recipe = load_recipe(made.desk.settings.students.recipe)
    full = msgspec.structs.replace(recipe, adapter=None)
    assert made.preferred(full).start.adapter == "" and made.preferred(full).student == ""
    others = tuple(msgspec.structs.replace(verdict, subject="llama-3.1") for verdict in made.dataset.verdicts)
    assert made.preferred(recipe, msgspec.structs.replace(made.dataset, verdicts=others)).student == ""


def test_what_takes_hold_of_a_student_takes_hold_of_those_that_went_on_from_it(made: Made) -> None:
    from freehold.record.forgetting.holders import _made_of  # pyright: ignore[reportPrivateUsage]
    from freehold.release.downstream import _Search  # pyright: ignore[reportPrivateUsage]

    store = made.desk.store
    assert set(_made_of("ds_before", store.control.students.list())) == {"st_before", made.student.student_id}
    recall = Recall(
        recall_id="re_1", version=1, kind="provider", value="nobody", created_ns=1, software="", updated_ns=1
    )
    search = _Search(store, recall, [])
    search.students.add("st_before")
    search.goes_on()
    assert made.student.student_id in search.students


def test_without_a_base_it_says_what_to_do(made: Made) -> None:
    students = msgspec.structs.replace(made.desk.settings.students, base="")
    settings = msgspec.structs.replace(made.desk.settings, students=students)
    move = Move(made.desk.store, settings, new_move(made.desk.store, made.desk.task_id))
    with pytest.raises(ConfigError, match="no base model is named") as failed:
        move.run("train")
    assert "[students] base" in failed.value.hint


def test_what_is_made_of_pairs_or_of_chosen_answers_is_not_trained_again_by_a_release() -> None:
    from freehold.loop.release_generative import _refuse_unreleased  # pyright: ignore[reportPrivateUsage]
    from freehold.release.verify.report import Missing

    _refuse_unreleased(made_recipe())
    with pytest.raises(Missing, match="pairs of answers"):
        _refuse_unreleased(msgspec.structs.replace(made_recipe(), method="dpo"))
    with pytest.raises(Missing, match="kept the best"):
        _refuse_unreleased(made_recipe(data={"samples": 3}))
