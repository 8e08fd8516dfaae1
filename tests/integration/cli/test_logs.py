"""What programs read of a command stays free of what people read, in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from loop_fixtures import Desk

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
[loop]
min_samples = 600
"""


def test_a_command_whose_steps_log_prints_its_document_alone(owned_desk: Desk, tmp_path: Path) -> None:
    shutil.copytree(owned_desk.settings.data, tmp_path / "freehold-data")
    (tmp_path / "freehold.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "freehold.cli.main", "evaluate", owned_desk.task_id, "--fresh", "--json"]
    command += ["--config", str(tmp_path / "freehold.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.count("\n") == 1
    assert set(json.loads(done.stdout)["steps"]) == {"curate", "train", "evaluate"}
    assert not done.stderr
