"""`bench/route/replay.py` as people run it: what it prints and refuses; no part of a split sees another's prompts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bench.route.replay import Problem, parts_of
from outcome_maker import make_outcomes

from freehold.loop.ladders import Terms
from freehold.signals.text import hash_text
from freehold.train.ladder import prepare

REPLAY = Path(__file__).parents[3] / "bench" / "route" / "replay.py"
SHARES = {"saving", "served_share", "violations", "violations_beyond_noise", "best_possible_saving", "cpt50", "cpt80"}
EVERYONE = SHARES | {"loss", "apgr"}
OURS = EVERYONE | {"auc", "decision_ms_p50", "decision_ms_p95"}
BASELINES = {"random", "per_task_mean", "knn", "logistic"}


def write(path: Path, n: int, *, seed: int = 1) -> Path:
    """Made-up outcomes as Parquet: one row per prompt and model."""
    outcomes = make_outcomes(n, seed, answers=True)
    assert outcomes.answers is not None
    frames = [
        pl.DataFrame(
            {
                "prompt_id": outcomes.prompt_ids,
                "task": outcomes.tasks,
                "prompt": outcomes.prompts,
                "model": model,
                "response": outcomes.answers[number],
                "score": outcomes.scores[:, number],
                "cost_usd": outcomes.costs[:, number],
            }
        )
        for number, model in enumerate(outcomes.models)
    ]
    pl.concat(frames).write_parquet(path)
    return path


def replay(path: Path, *arguments: str, candidates: str = "cheap") -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the objects on standard output, standard error."""
    command = [sys.executable, str(REPLAY), str(path), "--incumbent", "dear", "--candidates", candidates, "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=250)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("replay") / "outcomes.parquet", 1000)


def check_figures(one: dict[str, Any]) -> None:
    """Every figure that is asked for is there, for us and for all baselines, and can be true."""
    assert one.keys() >= OURS and one["baselines"].keys() == BASELINES
    for found in (one, *one["baselines"].values()):
        assert found.keys() >= EVERYONE
        assert all(0.0 <= found[name] <= 1.0 for name in SHARES), found
        assert found["violations_beyond_noise"] <= found["violations"] and found["cpt50"] <= found["cpt80"]
        assert -1.0 <= found["loss"] <= 1.0 and -1.0 < found["apgr"] < 2.0
    assert one["saving"] <= one["served_share"] and 0.0 < one["auc"] < 2.0
    assert 0.0 < one["decision_ms_p50"] <= one["decision_ms_p95"] < 100.0


def test_both_risks_are_two_objects_with_every_figure(evidence: Path) -> None:
    code, found, err = replay(evidence, "--splits", "2", "--risk", "both")
    assert code == 0 and [one["risk"] for one in found] == ["traffic", "served"], err
    for one in found:
        check_figures(one)
        assert (one["splits"], one["splits_with_enough_evidence"], one["prompts"]) == (2, 2, 1000)
        assert one["certified"] == 1.0 and 0.3 < one["saving"] <= one["best_possible_saving"] + 0.05
        assert one["baselines"]["per_task_mean"]["apgr"] > one["baselines"]["random"]["apgr"] + 0.1
    assert found[0]["apgr"] == found[1]["apgr"], "both risks look at the same fit"


def test_a_task_left_out_is_strange_and_stays(evidence: Path) -> None:
    code, [one], err = replay(evidence, "--splits", "3", "--shift", "leave-one-task-out")
    assert code == 0 and one["shift"] == "leave-one-task-out", err
    assert one["gate"]["strangers"] == 1.0, "each of the three tasks is left out once, and known by name"
    assert (one["saving"], one["served_share"], one["violations"]) == (0.0, 0.0, 0.0)
    assert one["gate"]["off"]["served_share"] > 0.2 and one["gate"]["off"]["violations"] > 0.0


def test_a_cascade_looks_at_answers(evidence: Path) -> None:
    code, [one], err = replay(evidence, "--splits", "2", "--signal", "cascade", candidates="cheapest,cheap")
    assert code == 0 and one["signal"] == "cascade" and one["candidates"] == ["cheapest", "cheap"], err
    check_figures(one)
    assert one["certified"] == 1.0 and one["saving"] > 0.3


def test_splits_without_enough_evidence_count_and_move_nothing(tmp_path: Path) -> None:
    code, [one], err = replay(write(tmp_path / "some.parquet", 210), "--splits", "5")
    assert code == 0 and 0 < one["splits_with_enough_evidence"] < one["splits"] == 5, err
    assert max(one["certified"], one["served_share"]) <= one["splits_with_enough_evidence"] / 5
    assert one["best_possible_saving"] > 0.3, "of those that had enough"


def test_ten_rows_and_models_that_are_not_there_are_refused(evidence: Path, tmp_path: Path) -> None:
    code, found, err = replay(write(tmp_path / "ten.parquet", 10), "--splits", "2")
    assert code != 0 and not found and "Not enough evidence" in err and "Traceback" not in err
    code, found, err = replay(evidence, candidates="chaep")
    assert code != 0 and not found and "Traceback" not in err
    assert "no model 'chaep'" in err and "Perhaps 'cheap'" in err


@pytest.mark.parametrize("shift", ["none", "leave-one-task-out"])
def test_equal_prompts_are_on_one_side_of_every_split(shift: str) -> None:
    """Each prompt is there three times, not always for the same task."""
    once = make_outcomes(600, seed=5)
    outcomes = replace(once.take(np.arange(600) % 200), tasks=once.tasks)
    prompts = np.array(outcomes.prompts)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], "prompt")
    problem = Problem(outcomes, rows, (Terms(0.05, 0.05),), shift)
    for number in range(6):
        parts, test = parts_of(problem, number)
        sides = [set(prompts[part].tolist()) for part in (*parts, test)]
        assert all(sides) and sum(map(len, sides)) == len(set.union(*sides))
        assert sum(map(len, (*parts, test))) == 600 or shift != "none", "no row is lost"
