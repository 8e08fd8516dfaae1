"""A desk's data copied, to build releases of its student by the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loop_fixtures import Desk

CONFIG = """
data_dir = "data"
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
[loop]
epsilon = 0.1
delta = 0.1
min_samples = 600
growth = 1.2
"""


class Installation:
    """A copy of a desk's data folder with a configuration, and the command line on it."""

    def __init__(self, folder: Path, desk: Desk, more: str = "") -> None:
        self.folder = folder
        self.config = folder / "freehold.toml"
        assert desk.rung is not None
        self.student = desk.rung.student
        self.certificate = desk.rung.certificate
        self.task = desk.task_id
        shutil.copytree(desk.settings.data, folder / "data")
        self.config.write_text(CONFIG + more, encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """A `freehold release` command on this installation."""
        return [sys.executable, "-m", "freehold.cli.main", "release", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, in a process of its own."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env={**os.environ, "FREEHOLD_CONFIG": str(self.config), "COLUMNS": "200"},
            timeout=200,
            check=False,
        )

    def build(self, out: Path, *arguments: str) -> dict[str, Any]:
        """Build a release of the student; what the command printed."""
        done = self.run("build", self.student, "--out", str(out), "--name", "urgent", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def installation(owned_desk: Desk, tmp_path: Path) -> Installation:
    """A copy of the owned desk."""
    return Installation(tmp_path, owned_desk)
