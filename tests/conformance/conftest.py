"""One gateway in a process of its own over one provider, and every client pointed at it; all of it once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from clients.cases import Client
from clients.process import Child
from clients.table import Row
from installed import litellm_path, node_folder
from provider import Provider

ANTHROPIC_WIRED = False
CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.openai]
base_url = "{provider.openai_url}"
retries = 0
"""
ANTHROPIC = """
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


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = (CONFIG + (ANTHROPIC if ANTHROPIC_WIRED else "")).format(provider=provider)
    with running_gateway(tmp_path_factory.mktemp("gateway"), config) as url:
        yield url


@pytest.fixture(scope="session")
def node(gateway: str) -> Iterator[Child]:
    folder = node_folder()
    child = Child(["node", "child.mjs"], folder, dict(os.environ), gateway)
    yield child
    child.stop()


@pytest.fixture(scope="session")
def litellm_process(gateway: str) -> Iterator[Child]:
    environment = {**os.environ, "PYTHONPATH": str(litellm_path()), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-m", "clients.litellm_child"]
    child = Child(command, Path(__file__).parent, environment, gateway)
    yield child
    child.stop()


@pytest.fixture(scope="session")
def client(gateway: str, request: pytest.FixtureRequest) -> Callable[[Row], Client]:
    """The client of a row of the table, made once."""
    made: dict[str, Client] = {}

    def find(row: Row) -> Client:
        if row.name not in made:
            made[row.name] = row.make(gateway, request.getfixturevalue)
        return made[row.name]

    return find
