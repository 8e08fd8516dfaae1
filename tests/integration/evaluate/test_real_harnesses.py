"""lm-evaluation-harness and Inspect themselves, run by the command against an endpoint, without a network."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.cli.main import freehold
from freehold.config import load_settings
from freehold.store import Store
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers, RunningServer, serve_in_thread

MODEL = "student/st_0123456789abcdef"
ROWS = (("Is the parcel late?", "yes", "yes"), ("Is the sky green?", "no", "no"), ("Is water dry?", "no", "yes"))
"""Prompt, right answer, what the model says."""
LM_EVAL = """
task: parcels
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.dataset import FieldSpec
from inspect_ai.scorer import exact
from inspect_ai.solver import generate


@task
def parcels():
    data = json_dataset({data!r}, FieldSpec(input="question", target="answer"))
    return Task(dataset=data, solver=generate(), scorer=exact())
"""


@pytest.fixture
def endpoint(tmp_path: Path) -> Generator[RunningServer, None, None]:
    lines = [json.dumps({"question": prompt, "answer": right}) for prompt, right, _ in ROWS]
    data = tmp_path / "parcels.jsonl"
    data.write_text("\n".join(lines))
    (tmp_path / "parcels.yaml").write_text(LM_EVAL.format(data=data))
    (tmp_path / "parcels_task.py").write_text(INSPECT.format(data=str(data)))
    (tmp_path / "freehold.toml").write_text('[upstreams.up]\nbase_url = "http://127.0.0.1:1/v1"\n')
    answers = RecordedAnswers([RecordedAnswer(prompt=prompt, response=said, model=MODEL) for prompt, _, said in ROWS])
    with serve_in_thread(answers) as server:
        yield server


def measured(folder: Path, server: RunningServer, *words: str) -> dict[str, Any]:
    shared = ("--base-url", server.base_url, "--model", MODEL, "--offline", "--config", str(folder / "freehold.toml"))
    environment = {"HF_HOME": str(folder / "hf"), "INSPECT_LOG_LEVEL": "warning"}
    done = CliRunner().invoke(freehold, ["harness", *words, *shared, "--json"], env=environment)
    assert done.exit_code == 0, done.output
    assert server.app.served == len(ROWS)
    evaluation = json.loads(done.output)
    settings = load_settings(folder / "freehold.toml")
    with closing(Store.open(settings.data, settings.control_url)) as store:
        assert store.control.evaluations.get(evaluation["evaluation_id"]) is not None
    assert evaluation["student"] == "st_0123456789abcdef" and evaluation["report"]["model"] == MODEL
    [score] = evaluation["report"]["scores"]
    return score


def test_lm_eval_measures_through_the_endpoint(endpoint: RunningServer, tmp_path: Path) -> None:
    score = measured(tmp_path, endpoint, "lm-eval", "--task", "parcels", "--include-path", str(tmp_path))
    assert (score["task"], score["metric"], score["samples"]) == ("parcels", "exact_match", 3)
    assert score["value"] == pytest.approx(2 / 3) and score["stderr"] > 0


def test_inspect_measures_through_the_endpoint(endpoint: RunningServer, tmp_path: Path) -> None:
    score = measured(tmp_path, endpoint, "inspect", "--task", str(tmp_path / "parcels_task.py"))
    assert (score["task"], score["metric"], score["samples"]) == ("parcels", "exact mean", 3)
    assert score["value"] == pytest.approx(2 / 3)
