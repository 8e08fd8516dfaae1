"""Several workers: a policy reaches all of them, a killed one loses nothing acknowledged and is started again."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_fixtures import JSON_ANSWER, Scripted, answering, plain, traces
from waiting import wait_for

from freehold.domain.policy import Policy
from freehold.store import ControlStore

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
PROGRAM = """
import sys, pathlib
from freehold.gateway import serve
if __name__ == "__main__":
    serve(pathlib.Path(sys.argv[1]), workers=int(sys.argv[2]), on_listening=lambda url: print(url, flush=True))
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of two workers in front of a scripted upstream, and their data folder."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with Scripted(answering(plain())) as provider:
        config = tmp_path / "freehold.toml"
        config.write_text(
            f'data_dir = "data"\n[gateway]\nport = 0\n[upstreams.main]\nbase_url = "{provider.base_url}"\n'
        )
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "program.py"), str(config), "2"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            wait_for(lambda: len(workers(url)) == 2, 30)
            yield url, tmp_path / "data"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def ask(url: str) -> tuple[str, str]:
    """One request on a connection of its own: trace id and policy version."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", BODY, {"content-type": "application/json"})
        response = connection.getresponse()
        assert response.read() == JSON_ANSWER
        return response.headers["x-freehold-trace"], response.headers["x-freehold-policy"]
    finally:
        connection.close()


def workers(url: str) -> dict[str, str]:
    """Living worker → its policy version, by one scrape of any of them."""
    return dict(re.findall(r'freehold_policy_version\{worker="(\w+)"\} (\d+)', metrics(url)))


def metrics(url: str) -> str:
    """The page; empty if the connection was one of a worker that died."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def test_a_policy_reaches_every_worker_within_two_seconds(gateway: tuple[str, Path]) -> None:
    url, data = gateway
    control = ControlStore.open(f"sqlite:///{data / 'control.sqlite'}")
    assert set(workers(url).values()) == {"0"}
    for version in (1, 2):
        control.publish_policy(Policy(reason="test"), version - 1)
        published = time.monotonic()
        wait_for(lambda version=version: set(workers(url).values()) == {str(version)}, 5)
        assert time.monotonic() - published <= 2.0
    control.close()


def test_killing_a_worker_under_load_loses_nothing_acknowledged(gateway: tuple[str, Path]) -> None:
    url, data = gateway
    acknowledged: list[str] = []
    refused = 0
    stop = threading.Event()

    def load() -> None:
        nonlocal refused
        while not stop.is_set():
            try:
                acknowledged.append(ask(url)[0])
            except (OSError, http.client.HTTPException):
                refused += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        count = len(acknowledged)
        wait_for(lambda count=count: len(acknowledged) > count + 100)
        os.kill(_a_worker(data), signal.SIGKILL)
        wait_for(lambda: len(workers(url)) == 2, 30)
    stop.set()
    for thread in threads:
        thread.join()
    recorded = {trace.trace_id for trace in traces(data)}
    counted = sum(map(int, re.findall(r"^freehold_requests_total\{.*\} (\d+)$", metrics(url), re.M)))
    # Recorded before it is counted, and counted before it is answered; three workers died, at any point between.
    assert len(acknowledged) <= counted <= len(recorded) <= counted + 3 * len(threads)
    assert len(acknowledged) > 300 and refused < len(acknowledged)
    assert set(acknowledged) <= recorded, f"{len(set(acknowledged) - recorded)} acknowledged traces are lost"


def _a_worker(data: Path) -> int:
    """The process id of a living worker: it holds the lock of its journal folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # a process that has just ended
                if any(_target(link).startswith(str(data / "journal")) for link in (entry / "fd").iterdir()):
                    return int(entry.name)
    raise AssertionError("no worker holds a journal")


def test_a_worker_is_small(tmp_path: Path) -> None:
    """Nothing heavy is imported to serve, and none of it sneaks in with a request."""
    code = """
import sys, json, pathlib, http.client
from gateway_fixtures import Scripted, answering, plain, settings, upstream
from freehold.gateway import serve_in_thread
with Scripted(answering(plain())) as provider:
    with serve_in_thread(settings(pathlib.Path(sys.argv[1]), {"m": upstream(provider.base_url)})) as gateway:
        c = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
        c.request("POST", "/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
        assert c.getresponse().status == 200
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "uvloop" in loaded
    # rich is there all the same: structlog imports it where it is installed.
    heavy = {"numpy", "polars", "deltalake", "sklearn", "scipy", "cryptography", "jinja2", "genai_prices", "openai"}
    assert not loaded & heavy


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""
