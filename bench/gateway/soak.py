"""The gateway under steady load for a long time: does memory stay flat, does anything fail, is a record lost?

Run: `python bench/gateway/soak.py [--seconds 600] [--connections 64]`. Callers on kept connections ask without a pause,
nine plain requests and then a stream of 20 events 5 ms apart, against one worker with recording on. Memory is the
proportional set size, sampled every second; its slope is fitted by least squares over the samples after the first
tenth of the time. At the end the journals are read: each trace that an answer named must be there, once. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
from collections import Counter
from pathlib import Path

import uvloop
from endurance import Caller, Gateway, Outcome, connect, raise_open_files, table, upstream

from freehold.domain.traces import Trace
from freehold.store.journal.read import worker_journals

PLAIN_PER_STREAM = 9
EVENTS, INTERVAL = 20, 0.005
WARM_UP = 0.1
"""Of the time: caches and pools fill."""


class Soak:
    """The callers of one run, and what they saw."""

    def __init__(self) -> None:
        self.traces: list[str] = []
        self.errors: Counter[str] = Counter()
        self.streams = 0
        self._asked = 0
        self._stop = False
        self._open = 0
        self._over = asyncio.Event()

    async def start(self, url: str, connections: int) -> None:
        """Connect, and begin to ask."""
        self._open = connections
        for _ in range(connections):
            self._next(await connect(url, self._took))

    async def end(self) -> None:
        """Let what is under way come to its end."""
        self._stop = True
        await self._over.wait()

    def _next(self, caller: Caller) -> None:
        if self._stop or caller.transport is None:
            self._open -= 1
            if not self._open:
                self._over.set()
            return
        self._asked += 1
        if self._asked % (PLAIN_PER_STREAM + 1):
            caller.ask(f"n{self._asked}")
        else:
            caller.ask(f"n{self._asked}", events=EVENTS, interval=INTERVAL)

    def _took(self, caller: Caller, outcome: Outcome) -> None:
        stream = outcome.body.endswith(b"data: [DONE]\n\n")
        if stream and not outcome.error and outcome.body.count(b"data: {") != EVENTS:
            outcome.error = "events are missing"
        if outcome.error:
            self.errors[outcome.error] += 1
        else:
            self.traces.append(outcome.trace)
            self.streams += stream
        self._next(caller)


def slope(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares through (hours, MB): MB per hour and its standard error, as if samples were independent."""
    n = len(samples)
    mean_x, mean_y = sum(x for x, _ in samples) / n, sum(y for _, y in samples) / n
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    found = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread
    residual = sum((y - mean_y - found * (x - mean_x)) ** 2 for x, y in samples)
    return found, math.sqrt(residual / (n - 2) / spread)


async def run(gateway: Gateway, seconds: float, connections: int) -> tuple[Soak, list[tuple[float, float]]]:
    """Load for `seconds`; the callers, and memory over time as (hours, MB)."""
    soak, samples = Soak(), list[tuple[float, float]]()
    loop = asyncio.get_running_loop()
    await soak.start(gateway.url, connections)
    began = loop.time()
    while (passed := loop.time() - began) < seconds:
        samples.append((passed / 3600, gateway.pss_mb()))
        await asyncio.sleep(min(1.0, seconds - passed))
    await soak.end()
    return soak, samples


def journal_of(data: Path) -> Counter[str]:
    """How often each trace is recorded."""
    journals = worker_journals(data / "journal")
    return Counter(r.trace_id for journal in journals for _, r in journal.records(0) if isinstance(r, Trace))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args()
    raise_open_files()
    with (
        tempfile.TemporaryDirectory(prefix="freehold-soak-") as folder,
        upstream() as address,
        Gateway(Path(folder), address, chosen.connections + 10) as gateway,
    ):
        idle, cpu = gateway.pss_mb(), gateway.cpu_seconds()
        soak, samples = uvloop.run(run(gateway, chosen.seconds, chosen.connections))
        cpu, code = gateway.cpu_seconds() - cpu, gateway.stop()
        recorded = journal_of(gateway.data)
    kept = [sample for sample in samples if sample[0] * 3600 >= chosen.seconds * WARM_UP]
    grows, error = slope(kept)
    answers = len(soak.traces)
    doubled = sum(count > 1 for count in recorded.values())
    rows = [
        ("measured", "value"),
        ("seconds, connections", f"{chosen.seconds:g}, {chosen.connections}"),
        ("answers (of which streams)", f"{answers:,} ({soak.streams:,})"),
        ("answers per second", f"{answers / chosen.seconds:,.0f}"),
        ("gateway CPU per answer", f"{cpu / max(1, answers) * 1e6:,.0f} µs"),
        ("errors", ", ".join(f"{count} × {what}" for what, count in soak.errors.items()) or "0"),
        ("traces answered, lost, doubled", f"{answers:,}, {len(set(soak.traces) - set(recorded)):,}, {doubled:,}"),
        ("memory (PSS) idle, after warm-up, at the end", f"{idle:.1f}, {kept[0][1]:.1f}, {kept[-1][1]:.1f} MB"),
        ("slope of memory", f"{grows:+.2f} ± {error:.2f} MB per hour over {len(kept)} samples"),
        ("exit code after SIGTERM", str(code)),
    ]
    print(table(rows))


if __name__ == "__main__":
    main()
