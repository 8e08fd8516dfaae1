"""Thousands of slow streams on one worker: what do they cost, and do small requests still come through?

Run: `python bench/gateway/slow_streams.py [--streams 2000] [--seconds 30] [--rate 100]`. Small requests arrive at a
fixed rate (not in a closed loop: a slow answer must not spare the next one) from a process of their own, first with the
gateway otherwise idle, then while all streams run, each with an event per second. At the end every stream must have
come whole. Every process here raises its soft limit of open files to the hard one; the gateway needs two for each
stream. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import uvloop
from endurance import Caller, Gateway, Outcome, connect, percentile, raise_open_files, table, upstream

PROBES = 32
"""Connections that small requests are spread over; one that is busy is passed over."""
AT_ONCE = 100
"""Streams that are begun together."""


class Probed(NamedTuple):
    """Small requests of one phase: seconds each took, and what went wrong."""

    seconds: list[float]
    errors: Counter[str]


async def probe(url: str, rate: float, seconds: float) -> Probed:
    """Send small requests at `rate` per second; latency counts from when each was due."""
    found = Probed([], Counter())
    due: dict[str, float] = {}
    free: list[Caller] = []
    over = asyncio.Event()
    number = int(rate * seconds)

    def took(caller: Caller, outcome: Outcome) -> None:
        found.seconds.append(outcome.ended - due[outcome.nonce])
        if outcome.error:
            found.errors[outcome.error] += 1
        if caller.transport is not None:
            free.append(caller)
        if len(found.seconds) == number:
            over.set()

    free += [await connect(url, took) for _ in range(PROBES)]
    began = time.perf_counter()
    for at in range(number):
        await asyncio.sleep(began + at / rate - time.perf_counter())
        caller = free.pop() if free else await connect(url, took)
        due[f"p{at}"] = began + at / rate
        caller.ask(f"p{at}")
    await over.wait()
    return found


def run_probe(pipe: Connection, url: str, rate: float, seconds: float) -> None:
    """The body of the probing process."""
    raise_open_files()
    found = uvloop.run(probe(url, rate, seconds))
    pipe.send((found.seconds, dict(found.errors)))


async def probed(url: str, rate: float, seconds: float) -> Probed:
    """Probe from a process of its own."""
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run_probe, args=(there, url, rate, seconds), daemon=True)
    process.start()
    took, errors = await asyncio.get_running_loop().run_in_executor(None, here.recv)
    process.join()
    return Probed(took, Counter(errors))


class Streams:
    """All the slow streams."""

    def __init__(self, number: int, events: int) -> None:
        self.number, self.events = number, events
        self.outcomes: list[Outcome] = []
        self.over = asyncio.Event()

    async def start(self, url: str) -> None:
        """Begin them, a few at a time, so that the listening queue does not overflow."""
        for begin in range(0, self.number, AT_ONCE):
            batch = range(begin, min(begin + AT_ONCE, self.number))
            callers = await asyncio.gather(*(connect(url, self._took) for _ in batch))
            for at, caller in zip(batch, callers, strict=True):
                caller.ask(f"s{at}", events=self.events, interval=1.0)
            await asyncio.sleep(1.0 * AT_ONCE / self.number)  # their events are spread over the second

    def _took(self, caller: Caller, outcome: Outcome) -> None:
        if not outcome.error and outcome.body.count(b"data: {") != self.events:
            outcome.error = "events are missing"
        self.outcomes.append(outcome)
        if len(self.outcomes) == self.number:
            self.over.set()


class Phase(NamedTuple):
    """What was seen in one phase."""

    probed: Probed
    cpu: float
    """Cores that the gateway used."""
    pss_mb: float


async def phase(gateway: Gateway, rate: float, seconds: float) -> Phase:
    """Probe, and see what the gateway takes meanwhile."""
    loop = asyncio.get_running_loop()
    began, cpu = loop.time(), gateway.cpu_seconds()
    found = await probed(gateway.url, rate, seconds)
    cores = (gateway.cpu_seconds() - cpu) / (loop.time() - began)
    return Phase(found, cores, gateway.pss_mb())


async def run(gateway: Gateway, number: int, seconds: float, rate: float) -> tuple[Phase, Phase, Streams]:
    """Without streams, then with them."""
    await probed(gateway.url, rate, 2.0)  # warm-up
    alone = await phase(gateway, rate, seconds)
    streams = Streams(number, int(seconds) + 12)  # they outlast the probes and the start of their process
    await streams.start(gateway.url)
    beside = await phase(gateway, rate, seconds)
    ended_early = len(streams.outcomes)
    await streams.over.wait()
    if ended_early:
        raise SystemExit(f"{ended_early} streams ended before the probes did: {streams.outcomes[0].error or 'whole'}")
    return alone, beside, streams


def row(name: str, seen: Phase) -> tuple[str, ...]:
    milliseconds = [second * 1e3 for second in seen.probed.seconds]
    figures = [percentile(milliseconds, share) for share in (0.5, 0.99, 1.0)]
    errors = str(sum(seen.probed.errors.values()))
    return name, str(len(milliseconds)), *(f"{f:.2f}" for f in figures), errors, f"{seen.cpu:.2f}", f"{seen.pss_mb:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=100.0)
    chosen = parser.parse_args()
    limit = raise_open_files()
    if limit < 2 * chosen.streams + 200:
        raise SystemExit(f"The hard limit of open files is {limit}: {chosen.streams} streams need twice as many.")
    with (
        tempfile.TemporaryDirectory(prefix="freehold-streams-") as folder,
        upstream() as address,
        Gateway(Path(folder), address, chosen.streams + PROBES + 100) as gateway,
    ):
        alone, beside, streams = uvloop.run(run(gateway, chosen.streams, chosen.seconds, chosen.rate))
        files, code = gateway.open_files_limit(), gateway.stop()
    head = ("small requests", "number", "p50 ms", "p99 ms", "max ms", "errors", "gateway cores", "gateway PSS MB")
    print(table([head, row("alone", alone), row(f"beside {chosen.streams:,} streams", beside)]))
    whole = sum(not outcome.error for outcome in streams.outcomes)
    each = (beside.pss_mb - alone.pss_mb) / chosen.streams * 1024
    print(
        f"\n{whole:,} of {chosen.streams:,} streams came whole ({streams.events} events each); "
        f"{each:.1f} KB per stream; the gateway's limit of open files: {files}; exit code {code}."
    )


if __name__ == "__main__":
    main()
