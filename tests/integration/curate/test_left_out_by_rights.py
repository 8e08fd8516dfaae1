"""A dataset does without answers whose terms do not permit its purpose, says so, and what that probably cost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from loop_fixtures import Desk, incumbent_trace, urgency

from freehold.config import UpstreamSettings
from freehold.curate.card import CARD
from freehold.curate.export import export_dataset
from freehold.domain.errors import RightsError
from freehold.domain.evidence import Dataset
from freehold.evaluate import denied_cost
from freehold.evaluate.left_out import in_words
from freehold.loop import Loop
from freehold.store.artifacts import LEFT_OUT, read_dataset, read_student
from freehold.upstreams.student import build_classifier

NOW = 1_795_000_000 * 10**9
STRANGE = [f"zyxwv quxly frobnicates blarg {number} wibble" for number in range(20)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Nine tenths of the answers came under OpenAI's terms, one tenth under a provider's that nobody knows."""
    made = Desk(tmp_path_factory.mktemp("desk"), terms="openai-api", epsilon=0.1, delta=0.1, min_samples=400)
    odd = UpstreamSettings(base_url="http://127.0.0.1:2/v1")
    made.settings = msgspec.structs.replace(made.settings, upstreams={**made.settings.upstreams, "odd": odd})
    made.loop = Loop(made.store, made.settings)
    made.send(urgency(1, 540))
    known = urgency(3, 40)
    for number, (user, answer) in enumerate(chain(known, ((user, "yes") for user in STRANGE))):
        made.append(incumbent_trace(10_000 + number, user, answer, answered_by="odd/gpt"))
    made.loop.until_idle()
    yield made
    made.close()


def _dataset(desk: Desk) -> Dataset:
    (dataset,) = desk.store.control.datasets.list()
    return dataset


def test_what_rights_leave_out_is_told_with_its_clause_its_share_and_its_cost(desk: Desk) -> None:
    dataset = _dataset(desk)
    (denied,) = dataset.denied
    assert (denied.terms, denied.outcome, denied.rows, denied.share) == ("unknown", "deny", 60, 0.1)
    assert dataset.left_out["rights: deny (unknown)"] == 60 and denied.reason and denied.judged
    folder = desk.store.data / dataset.path
    assert "| unknown | 60 | 10.0% | deny | unknown/unknown |" in (folder / CARD).read_text()
    gone = pl.read_parquet(folder / LEFT_OUT)
    assert gone.filter(pl.col("step") == "rights").get_column("reason").to_list() == ["deny (unknown)"] * 60
    (student,) = desk.store.control.students.list()
    cost = denied_cost(desk.store, student.student_id)
    assert cost is not None and (cost.share, cost.prompts) == (0.1, 60)
    assert 20 <= cost.strangers < 60, "words nobody else uses are strange, the task's own are not"
    assert (cost.nearer.rows, cost.rest.rows) == _counted(desk, dataset)
    assert cost.nearer.rows + cost.rest.rows == cost.asked and 0 < cost.nearer.rows < cost.rest.rows
    assert cost.rest.lower <= cost.rest.wrong / cost.rest.rows <= cost.rest.upper
    (job,) = desk.store.control.jobs.list()
    result = next(step.result for step in job.steps if step.name == "evaluate")
    assert result["denied"] == msgspec.to_builtins(cost)
    assert in_words(cost) in desk.events("evaluated")[0].message


def _counted(desk: Desk, dataset: Dataset) -> tuple[int, int]:
    """Fit prompts nearer to a left-out one than to any other kept one, and the others: from whole vectors."""
    student = desk.store.control.students.list()[0]
    manifest, tensors = read_student(desk.store.data / student.path, student.sha256)
    classifier = build_classifier(manifest, tensors)
    kept = [one.prompt for one in read_dataset(desk.store.data / dataset.path, dataset.sha256) if one.part == "fit"]
    prompts = [*kept, *(user for user, _ in urgency(3, 40)), *STRANGE]
    vectors = np.zeros((len(prompts), len(tensors["idf"])), np.float32)
    for row, prompt in enumerate(prompts):
        features = classifier.featurise(prompt)
        vectors[row, features.words] = features.word_weights
        vectors[row, features.characters] = features.character_weights
    alike = vectors[: len(kept)] @ vectors.T
    np.fill_diagonal(alike, -1.0)
    nearer = int((alike[:, len(kept) :].max(1) > alike[:, : len(kept)].max(1)).sum())
    return nearer, len(kept) - nearer


def test_the_same_rows_train_a_classifier_and_no_generative_model(desk: Desk, tmp_path: Path) -> None:
    dataset = _dataset(desk)
    assert {verdict.subject: verdict.outcome for verdict in dataset.verdicts} == {
        "openai-api": "duties",
        "unknown": "deny",
    }
    store, wanted = desk.store, dataset.dataset_id
    done = export_dataset(store, wanted, tmp_path / "c", "parquet", "train_classifier", ("fit",), NOW)
    assert done.rows["fit"] == dataset.parts["fit"] and not done.left_out
    with pytest.raises(RightsError, match="openai-api"):
        export_dataset(store, wanted, tmp_path / "g", "openai", "distil", ("fit",), NOW)
    assert not (tmp_path / "g").exists()
