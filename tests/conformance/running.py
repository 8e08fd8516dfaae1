"""The gateway as its users run it, over the provider for tests as both kinds of upstream."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.openai]
base_url = "{provider.openai_url}"
retries = 0
[upstreams.anthropic]
base_url = "{provider.openai_url}"
protocol = "anthropic"
models = ["claude-*"]
retries = 0
"""


@contextlib.contextmanager
def running_gateway(folder: Path, config: str, environment: dict[str, str] | None = None) -> Generator[str]:
    """`freehold serve` on a free port; gives its address."""
    (folder / "freehold.toml").write_text(config)
    command = [sys.executable, "-m", "freehold.cli.main", "serve", "--json", "--config", str(folder / "freehold.toml")]
    with (folder / "freehold.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "freehold.log").read_text()
        yield json.loads(line)["url"]
        process.terminate()
        assert process.wait(20) == 0, (folder / "freehold.log").read_text()
    finally:
        process.kill()
        process.wait()
