"""`freehold sweep` over a task's dataset: trained here, one after the other; and the same run by torchrun."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from cli_fixtures import Run
from team_rows import SWEPT, samples, trained

from freehold.config import Settings
from freehold.domain.evidence import Dataset, Verdict
from freehold.domain.tasks import AnswerForm, Task
from freehold.record.opening import open_store
from freehold.store.artifacts import write_dataset
from freehold.train.generative.launch import train_by_torchrun
from freehold.train.recipes import read_recipe, recipe_toml

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs freehold[train]"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A configuration, and a task with a dataset."""
    (tmp_path / "freehold.toml").write_text('[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\n')
    (tmp_path / "small.toml").write_text(recipe_toml(SWEPT))
    rows = samples(120)
    store = open_store(Settings(data_dir=str(tmp_path / "freehold-data")))
    store.control.tasks.put(Task(task_id="task_turn", name="turn"))
    dataset = Dataset(
        dataset_id="ds_turn",
        task="task_turn",
        path="datasets/turn",
        sha256=write_dataset(store.data / "datasets" / "turn", rows),
        rows=len(rows),
        parts={"fit": 1, "tune": 1, "certify": 1},
        left_out={},
        verdicts=(Verdict(action="train", outcome="allow", subject="own", reason="own"),),
        form=AnswerForm(kind="open"),
        since_ns=0,
        until_ns=1,
        created_ns=1,
    )
    store.control.datasets.put(dataset)
    store.close()
    return tmp_path


def test_the_best_recipe_is_found_and_written(shop: Path, run: Run) -> None:
    best = shop / "best.toml"
    options = ("--recipe", "small.toml", "--config", str(shop / "freehold.toml"))
    over = ("--over", "optimizer.rate=0.00001,0.01", "--over", "run.epochs=4")
    code, out, err = run("sweep", "turn", *over, "--write", str(best), "--json", *options)
    assert code == 0 and not err, out + err
    found = json.loads(out)
    low, high = found["trials"]
    assert high["tune_loss"] < low["tune_loss"] and not high["stopped_early"] and high["steps"] > 0
    assert found["best"] == 2 and found["trials"][1]["settings"] == {"optimizer.rate": 0.01, "run.epochs": 4}
    assert read_recipe(best).optimizer.rate == 0.01
    assert found["recipe"]["optimizer"]["rate"] == 0.01


def test_what_cannot_be_swept_is_said_at_once(shop: Path, run: Run) -> None:
    config = ("--config", str(shop / "freehold.toml"), "--json")
    code, out, _ = run("sweep", "turn", "--recipe", "small.toml", "--over", "optimizer.speed=1", *config)
    assert code == 2 and "speed" in json.loads(out)["error"]["message"]
    code, out, _ = run("sweep", "nobody", "--over", "optimizer.rate=1", *config)
    assert code == 3


def test_torchrun_gives_the_bytes_of_two_workers(tmp_path: Path) -> None:
    assert trained(tmp_path / "torchrun", train_by_torchrun).sha256 == trained(tmp_path / "here").sha256
