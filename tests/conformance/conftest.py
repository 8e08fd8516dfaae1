"""One gateway in a process of its own over one provider, and every client pointed at it; all of it once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients.cases import Client
from clients.process import Child
from clients.table import Row
from installed import litellm_path, node_folder
from provider import Provider
from running import CONFIG, running_gateway


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = CONFIG.format(provider=provider)
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
