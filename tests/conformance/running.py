"""The gateway as its users run it, and plain requests to it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path


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


def fetch(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request by the standard library, errors as they are: status, headers, body."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()
