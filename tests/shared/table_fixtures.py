"""Where the tables of a test lie: on this disk, and at an S3 endpoint (moto's server, in a process of its own)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from uuid import uuid4

import pytest

from freehold.domain.places import IN_DATA_FOLDER, TablePlace
from freehold.store import Store

BUCKET = "freehold-test"
_SIGNED_AS = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
Opener = Callable[[], Store]


@pytest.fixture(scope="session")
def s3_endpoint() -> Generator[str, None, None]:
    """The URL of an S3 server with one empty bucket. Not a thread of ours: deltalake holds the GIL while it waits."""
    pytest.importorskip("moto.server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        url = f"http://127.0.0.1:{port}"
        request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT", headers={"Authorization": _SIGNED_AS})
        with urllib.request.urlopen(request, timeout=10):
            yield url
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            continue
    raise RuntimeError("moto's server did not start")


def s3_place(endpoint: str, prefix: str) -> TablePlace:
    """A place below the bucket."""
    options = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return TablePlace(f"s3://{BUCKET}/{prefix}", options)


@pytest.fixture(params=["disk", "s3"])
def at_place(request: pytest.FixtureRequest) -> Callable[[str], TablePlace]:
    """Places for tables by a name: the data folder, whatever the name, or one below the bucket, new each run."""
    if request.param == "disk":
        return lambda _: IN_DATA_FOLDER
    endpoint, prefix = request.getfixturevalue("s3_endpoint"), uuid4().hex
    return lambda name: s3_place(endpoint, f"{prefix}/{name}")


@pytest.fixture
def place(at_place: Callable[[str], TablePlace]) -> TablePlace:
    """Where this test's tables lie."""
    return at_place("tables")


@pytest.fixture(params=["sqlite", "postgres"])
def control_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of this test's control database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'control.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def open_stores(tmp_path: Path, place: TablePlace) -> Generator[Opener, None, None]:
    """Opens stores over this test's folder, on SQLite; closes them when it ends."""
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}", tables=place))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
