"""The same steps on a Ray cluster of several nodes, one of which is killed: the same rows, to the hash."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.domain.errors import ConfigError
from freehold.runners.ray import RayBatches

pytestmark = [
    pytest.mark.timeout(280),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs freehold[ray]"),
]
DRIVER = Path(__file__).with_name("ray_driver.py")
ROOT = DRIVER.parents[3]


def test_a_cluster_gives_the_same_rows_also_when_a_node_dies(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests/shared"))
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=260
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["there"] == found["here"]
    again = found["killed"].pop("again")
    assert found["killed"] == found["here"]
    assert again and all(times > 1 for times in again), "what the dead node had begun was done elsewhere"
    taken = [sum(reasons.values()) for reasons in found["here"]["steps"]]
    assert all(taken[1:5]), f"every step had something to do: {taken}"


def test_without_a_cluster_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="no cluster is named"):
        RayBatches("", 10)
