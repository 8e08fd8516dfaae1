"""What recording adds to the gateway: the same load with `x-freehold-record: off` and without, in turn, in one run.

Run: `python bench/record/gateway_overhead.py [--rounds 6] [--seconds 3] [--journal "strict = true"]` (a minute; needs
wrk and the mock upstream that the setup.sh of the shared gateway-bench builds in $GATEWAY_BENCH_HOME, by default
~/.cache/gateway-bench). One gateway worker on core 1; wrk and the mock upstream on core 0. A request and its answer
make a record of 4 KB. CPU per request is that of the gateway's threads (schedstat) under 16 connections. Latency is
that of one connection asking without a pause. Differences are between the two turns of a round; the table has medians
over the rounds, and the differences' least and greatest. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from freehold.domain.traces import Trace
from freehold.store.journal.read import worker_journals

HOME = Path(os.environ.get("GATEWAY_BENCH_HOME", Path.home() / ".cache/gateway-bench"))
MOCK_PORT = 9011
GATEWAY_CORE, LOAD_CORE = 1, 0
PROMPT_BYTES = 3300
"""With the mock's answer this makes a record of about 4 KB."""
CONFIG = f"""
data_dir = "data"
[gateway]
port = 0
[journal]
{{journal}}
[upstreams.mock]
base_url = "http://127.0.0.1:{MOCK_PORT}/v1"
prices = {{{{ "*" = {{{{ input = 2.0, output = 8.0 }}}} }}}}
"""
SCRIPT = """
wrk.method = "POST"
wrk.body = '{"model":"mock","messages":[{"role":"user","content":"' .. string.rep("Where is my order? ", %d) .. '"}]}'
wrk.headers["Content-Type"] = "application/json"
%s
function done(s, l, r)
  local e = s.errors
  io.write(string.format('JSON {"n":%%d,"p50":%%f,"p99":%%f,"errors":%%d}\\n', s.requests, l:percentile(50) / 1000,
    l:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Turn(NamedTuple):
    """What one turn of load measured."""

    cpu_us: float
    """Of the gateway, per request."""
    p50_ms: float
    p99_ms: float


def gateway_cpu(pid: int) -> float:
    """Seconds that the threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def load(folder: Path, url: str, pid: int, *, recorded: bool, connections: int, seconds: float) -> Turn:
    """One turn."""
    header = "" if recorded else 'wrk.headers["x-freehold-record"] = "off"'
    script = folder / "load.lua"
    script.write_text(SCRIPT % (PROMPT_BYTES // 19, header))
    before = gateway_cpu(pid)
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script)]
    done = subprocess.run([*command, f"{url}/v1/chat/completions"], capture_output=True, text=True, check=True)
    cpu = gateway_cpu(pid) - before
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("JSON"))[5:])
    if said["errors"] or not said["n"]:
        raise SystemExit(f"The load met {said['errors']} errors in {said['n']} requests.")
    return Turn(cpu / said["n"] * 1e6, said["p50"], said["p99"])


@contextmanager
def running(folder: Path, journal: str) -> Generator[tuple[str, int]]:
    """The mock upstream and the gateway: its URL and its process."""
    (folder / "freehold.toml").write_text(CONFIG.format(journal=journal))
    mock = HOME / "mock_upstream"
    if not mock.exists() or shutil.which("wrk") is None:
        raise SystemExit(f"There is no {mock}, or no wrk: run the setup.sh of gateway-bench first.")
    pin = ["taskset", "-c"]
    upstream = subprocess.Popen([*pin, str(LOAD_CORE), str(mock), str(MOCK_PORT)], stderr=subprocess.DEVNULL)
    command = [sys.executable, "-m", "freehold.cli.main", "serve", "--json", "--log-level", "warning", "--config"]
    gateway = subprocess.Popen(
        [*pin, str(GATEWAY_CORE), *command, str(folder / "freehold.toml")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert gateway.stdout is not None
        yield json.loads(gateway.stdout.readline())["url"], gateway.pid
    finally:
        for process in (gateway, upstream):
            process.terminate()
            process.wait(30)


def tidy(data: Path) -> None:
    """Remove segments that are not written to any more: nothing seals them here."""
    for journal in worker_journals(data / "journal"):
        for number, path in journal.segments.items():
            if journal.final(number):
                path.unlink()


def check_recording(data: Path, url: str) -> int:
    """Whether the header does what it says; the size of the record that a request makes."""

    def kept() -> list[Trace]:
        found = (record for journal in worker_journals(data / "journal") for _, record in journal.records(0))
        return [record for record in found if isinstance(record, Trace)]

    def ask(headers: dict[str, str]) -> None:
        content = "Where is my order? " * (PROMPT_BYTES // 19)
        body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": content}]}).encode()
        headers |= {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers)).read()

    ask({"x-freehold-record": "off"})
    assert not kept()
    ask({})
    [trace] = kept()
    return len(trace.request) + len(trace.response)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--journal", default="", help="lines of the [journal] table")
    chosen = parser.parse_args()
    found: dict[tuple[int, bool], list[Turn]] = {}
    with tempfile.TemporaryDirectory(prefix="freehold-overhead-") as name:
        folder = Path(name)
        with running(folder, chosen.journal) as (url, pid):
            size = check_recording(folder / "data", url)
            for number in range(chosen.rounds):
                for connections in (16, 1):
                    for recorded in (True, False) if number % 2 else (False, True):
                        turn = load(
                            folder, url, pid, recorded=recorded, connections=connections, seconds=chosen.seconds
                        )
                        found.setdefault((connections, recorded), []).append(turn)
                        tidy(folder / "data")
    option = f" --journal '{chosen.journal}'" if chosen.journal else ""
    print(f"`python bench/record/gateway_overhead.py --rounds {chosen.rounds} --seconds {chosen.seconds:g}{option}`\n")
    print(f"Bodies of {size:,} bytes; {chosen.rounds} rounds.\n")
    print("| | not recorded | recorded | difference (least to greatest) |\n|---|---|---|---|")
    for label, connections, field in (
        ("CPU µs per request, 16 connections", 16, "cpu_us"),
        ("latency p50 ms, 1 connection", 1, "p50_ms"),
        ("latency p99 ms, 1 connection", 1, "p99_ms"),
    ):
        off, on = ([getattr(turn, field) for turn in found[connections, recorded]] for recorded in (False, True))
        apart = [b - a for a, b in zip(off, on, strict=True)]
        middle = f"{statistics.median(apart):+.3f} ({min(apart):+.3f} to {max(apart):+.3f})"
        print(f"| {label} | {statistics.median(off):.3f} | {statistics.median(on):.3f} | {middle} |")


if __name__ == "__main__":
    main()
