"""`freehold serve` in a process of its own, and what can be seen of it from outside: sockets, memory, journals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from waiting import wait_for

from freehold.domain.traces import Trace
from freehold.store.journal.read import worker_journals

FREEHOLD = [sys.executable, "-m", "freehold.cli.main"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def last_not(condition: Callable[[], bool], times: int = 24, seconds: float = 30.0) -> float:
    """Wait until `condition` holds so many times in a row, as when every worker has changed; returns after how many
    seconds it last did not hold, however long a busy machine takes to ask."""
    began = time.monotonic()
    last, held = began, 0
    while held < times:
        asked = time.monotonic()
        assert asked - began < seconds, f"did not come about in {seconds:g} s: {condition}"
        if condition():
            held += 1
        else:
            last, held = asked, 0
    return last - began


class GatewayProcess:
    """The gateway over `folder`/freehold.toml, whose `data_dir` is `data` beside it. A context manager that ends it."""

    def __init__(
        self, folder: Path, *, workers: int = 1, command: str = "serve", env: dict[str, str] | None = None
    ) -> None:
        self.data = folder / "data"
        self.log = folder / "freehold.log"
        line = [*FREEHOLD, command, "--json", "--workers", str(workers), "--config", str(folder / "freehold.toml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                line, stdout=subprocess.PIPE, stderr=log, text=True, env={**ENVIRONMENT, **(env or {})}
            )
        assert self.process.stdout is not None
        listening = self.process.stdout.readline()
        assert listening, self.log.read_text()
        self.url: str = json.loads(listening)["url"]
        wait_for(self.ready, 30, "the gateway is ready")

    def ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """GET on a connection of its own."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def degraded(self) -> list[str]:
        """What /readyz says is not well."""
        return json.loads(self.get("/readyz")[1])["degraded"]

    def workers(self) -> list[int]:
        """The processes that serve: the children that uvicorn's supervisor spawned, or the process itself."""
        found = [pid for pid in children(self.process.pid) if "spawn_main" in command_line(pid)]
        return found or [self.process.pid]

    def sockets(self) -> int:
        """Open sockets of all workers."""
        return sum(sockets(pid) for pid in self.workers())

    def memory_mb(self) -> float:
        """Proportional set size of all workers."""
        return sum(pss_mb(pid) for pid in self.workers())

    def traces(self) -> list[Trace]:
        """All that the journals hold, by time."""
        found = [
            record
            for journal in worker_journals(self.data / "journal")
            for _, record in journal.records(0)
            if isinstance(record, Trace)
        ]
        return sorted(found, key=lambda trace: trace.at_ns)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        family = children(self.process.pid)
        try:
            self.stop()
        finally:
            self.process.kill()
            for pid in family:  # only where a test failed is anything left
                if "freehold" in command_line(pid) or "spawn_main" in command_line(pid):
                    os.kill(pid, signal.SIGKILL)


def configure(folder: Path, urls: dict[str, str], *, gateway: str = "", **upstream: object) -> None:
    """Write a configuration with one upstream per URL, each serving the model of its own name."""
    settings = {"retries": 0, "connect_timeout": 1.0, "first_byte_timeout": 0.8, "idle_timeout": 0.8, **upstream}
    lines = ['data_dir = "data"', "[gateway]", "port = 0", gateway]
    for name, url in urls.items():
        lines += [f"[upstreams.{name.replace('.', '-')}]", f'base_url = "{url}"', f'models = ["{name}"]']
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (folder / "freehold.toml").write_text("\n".join(lines))


def children(pid: int) -> Sequence[int]:
    """Living child processes; those that have ended and await their parent are left out."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == pid and state not in "ZX":
                found.append(int(entry.name))
    return found


def command_line(pid: int) -> str:
    """A process's command line; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def pss_mb(pid: int) -> float:
    """Proportional set size in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def sockets(pid: int) -> int:
    """Open sockets of a process."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue  # closed meanwhile
    return found
