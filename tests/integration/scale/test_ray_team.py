"""Training on a Ray cluster of two nodes: the bytes of a run on this machine, whoever dies; and trials side by side."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.timeout(290),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None or importlib.util.find_spec("transformers") is None,
        reason="needs freehold[ray,train]",
    ),
]
DRIVER = Path(__file__).with_name("team_driver.py")
ROOT = DRIVER.parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of it: one cluster for all."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
    folder = tmp_path_factory.mktemp("team")
    environment["TMPDIR"] = str(tmp_path_factory.mktemp("temporary"))
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(folder)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_with_a_worker_killed_the_cluster_gives_the_bytes_of_this_machine(
    found: dict[str, Any], tmp_path: Path
) -> None:
    from team_rows import trained

    assert found["killed"] == trained(tmp_path).sha256
    assert found["files"] == sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))


def test_it_went_on_from_its_checkpoint(found: dict[str, Any]) -> None:
    looks = found["looks"]
    assert found["kills"] == 1 and looks[0] < looks[-1] == 150
    assert looks == sorted(looks), "nobody began again at the first step"


def test_a_cluster_that_is_too_small_is_refused_at_once(found: dict[str, Any]) -> None:
    assert found["refused"] == "3 workers need 3 CPUs and 0 GPUs; the Ray cluster has 2 and 0."


def test_nodes_keep_nothing_of_what_was_trained_on_them(found: dict[str, Any]) -> None:
    assert found["left"] == []


def test_trials_run_side_by_side_and_the_best_has_the_least_loss(found: dict[str, Any]) -> None:
    losses = {trial["settings"]["optimizer.rate"]: trial["tune_loss"] for trial in found["trials"]}
    assert not any(trial["error"] for trial in found["trials"])
    assert 100 * losses[0.003] < losses[0.00001] > 100 * losses[0.01]
    assert found["best"] == {"optimizer.rate": min(losses, key=losses.__getitem__)}
    assert all(trial["steps"] > 0 for trial in found["trials"])
