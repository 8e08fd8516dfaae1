"""The trace table at two million records: sealing, bytes on disk, the dashboard's queries, memory; beside peers.

    python bench/record/table.py                        # two million records; about five minutes on 2 cores
    python bench/record/table.py --records 200000

Records are the shared gateway bench's text (4 KB), 40 tasks, 8 models, 90 days, 5% in runs of 50 agents. Sealing is
measured from real journals (`--sealed` records). The table is then filled by the sealer's own path from records to
files, compaction included, without journals. Queries run in a fresh process: the first time each, and the median of 7.
Prints Markdown. Needs about 1 KB of disk per record below --folder, which is emptied afterwards.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from table_data import START_NS, UPSTREAMS, agent_requests, traces
from table_peers import parquet, sqlite
from table_queries import open_store, peak_mb

from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import BATCH_RECORDS, Sealer
from freehold.store import Store
from freehold.store.traces.messages import MessageKeeper
from freehold.store.traces.rows import sealed_frame, trace_frame

PEER_RECORDS = 200_000
WARMING = 500


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tables(store: Store) -> int:
    """Bytes of traces and messages; files that merges replaced are removed first."""
    store.traces.purge()
    return sum(size_of(store.data / name) for name in ("traces", "messages") if (store.data / name).exists())


def journal(store: Store, records: list[Trace]) -> None:
    writer = store.open_journal()
    for trace in records:
        writer.append(trace)
    writer.close()


def measure_sealing(folder: Path, count: int, episodes: bool) -> list[str]:
    """Seal real journals; CPU of the whole sealer: reading, deriving, writing, committing, removing."""
    store = open_store(folder)
    records = [
        trace if episodes else msgspec.structs.replace(trace, episode=None, agent=None)
        for trace in traces(count)
        if episodes or trace.episode is None
    ]
    sealer = Sealer(store, UPSTREAMS)
    journal(store, records[:WARMING])
    sealer.seal_once()  # loads libraries and price lists
    journal(store, records[WARMING:])
    started, began = time.process_time(), time.perf_counter()
    report = sealer.seal_once()
    cpu, wall = time.process_time() - started, time.perf_counter() - began
    assert report.traces == len(records) - WARMING
    body = sum(len(trace.request) + len(trace.response) for trace in records) / len(records)
    stored = tables(store) / len(records)
    store.close()
    name = "5% in agent runs" if episodes else "none in agent runs"
    figures = (cpu / report.traces * 1e6, wall / report.traces * 1e6, body, stored)
    return [name, *(f"{figure:,.0f}" for figure in figures)]


def fill(store: Store, count: int) -> dict[str, float]:
    """From records to the table, as the sealer does it, and compaction when it is due."""
    derive, keeper = Deriver(UPSTREAMS), MessageKeeper(store.messages)
    source = traces(count, seed=1)
    sealing = compacting = 0.0
    done = 0
    while batch := list(islice(source, BATCH_RECORDS)):
        started = time.process_time()
        done += len(batch)
        taken, messages = keeper.take(batch)
        if messages.height:
            store.messages.append(messages, {})
            keeper.stored(messages)
        frame = sealed_frame(batch, [derive(trace) for trace in batch], taken)
        store.traces.append(frame, {"wk_bench": done})
        sealing += time.process_time() - started
        started = time.process_time()
        store.traces.compact()
        store.messages.compact()
        compacting += time.process_time() - started
    return {"sealing_us": sealing / count * 1e6, "compacting_us": compacting / count * 1e6}


def agent_saving(folder: Path) -> list[list[str]]:
    """One run of 50 agents with 20 turns each, stored as it is and taken apart."""
    requests = agent_requests(random.Random(3), turns=20)[::-1]
    base = next(iter(traces(1)))
    run = [
        msgspec.structs.replace(
            base, trace_id=f"tr_{number:028x}", at_ns=START_NS + number, request=body, episode="run", response=b""
        )
        for number, body in enumerate(requests)
    ]
    derived = [Deriver(UPSTREAMS)(trace) for trace in run]
    whole = folder / "whole.parquet"
    trace_frame(run, derived).write_parquet(whole, compression="zstd", compression_level=3, row_group_size=1024)
    store = open_store(folder / "apart")
    taken, messages = MessageKeeper(store.messages).take(run)
    started = time.process_time()
    store.messages.append(messages, {})
    store.traces.append(sealed_frame(run, derived, taken), {"wk": 1})
    cpu = (time.process_time() - started) / len(run) * 1e6
    assert store.traces.scan().sort("at_ns").collect()["request"].to_list() == requests
    apart = tables(store)
    store.close()
    raw = sum(map(len, requests))
    return [
        ["as they were sent", f"{len(requests):,} requests", f"{raw / 1e6:,.1f}"],
        ["whole, in the table (zstd)", "", f"{whole.stat().st_size / 1e6:,.2f}"],
        ["each message once", f"{messages.height:,} messages, {cpu:,.0f} µs CPU a request", f"{apart / 1e6:,.2f}"],
    ]


def peers(folder: Path, count: int) -> list[list[str]]:
    derive = Deriver(UPSTREAMS)
    source = traces(count, seed=2)
    frames: list[pl.DataFrame] = []
    while batch := list(islice(source, BATCH_RECORDS)):
        frames.append(trace_frame(batch, [derive(trace) for trace in batch]))
    lines: list[list[str]] = []
    for name, measure in (("SQLite, WAL, indexed", sqlite), ("plain Parquet", parquet)):
        found: dict[str, Any] = measure(folder, frames)
        times = [f"{found['queries'][query]['median']:,.0f}" for query in ("cost", "newest", "episode")]
        lines.append([f"{name}, {count:,} records", f"{found['cpu_us']:.0f}", f"{found['bytes']:,.0f}", *times])
    return lines


def show(title: str, head: list[str], lines: list[list[str]]) -> None:
    print(f"\n**{title}**\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--sealed", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="freehold-table-", dir=asked.folder))
    if shutil.disk_usage(place).free < 1100 * asked.records:
        raise SystemExit(f"There is too little disk free at {place}: give another --folder.")
    print(f"`python {' '.join(sys.argv)}`")
    try:
        run(place, asked.records, asked.sealed)
    finally:
        shutil.rmtree(place)


def run(place: Path, records: int, sealed: int) -> None:
    sealing = [measure_sealing(place / f"sealed-{flag}", sealed, flag) for flag in (False, True)]
    show(
        f"Sealing {sealed:,} records from journals",
        ["records", "CPU µs each", "wall µs each", "bytes of bodies each", "bytes on disk each"],
        sealing,
    )
    show("One run of 50 agents", ["its requests", "", "MB"], agent_saving(place))
    (place / "big").mkdir()
    store = open_store(place / "big")
    spent = fill(store, records)
    on_disk = tables(store) / records
    files = store.traces.snapshot().files().height
    store.close()
    show(
        f"Filling a table with {records:,} records",
        ["CPU µs each", "of compaction", "bytes on disk each", "files", "peak MB"],
        [[
            f"{spent['sealing_us']:.0f}", f"{spent['compacting_us']:.0f}", f"{on_disk:,.0f}", str(files),
            f"{peak_mb():,.0f}",
        ]],
    )  # fmt: skip
    command = [sys.executable, str(Path(__file__).parent / "table_queries.py"), str(place / "big")]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    asked = json.loads(done.stdout)
    lines = [[name, f"{took['first']:,.0f}", f"{took['median']:,.0f}"] for name, took in asked["queries"].items()]
    lines.append(["peak MB of that process", "", f"{asked['peak_mb']:,.0f}"])
    show(f"Asked of {records:,} records", ["query", "first, ms", "median of 7, ms"], lines)
    shutil.rmtree(place / "big")
    show(
        "Peers",
        ["", "CPU µs each to write", "bytes each", "cost by day and model, ms", "newest 100, ms", "one episode, ms"],
        peers(place, min(records, PEER_RECORDS)),
    )


if __name__ == "__main__":
    main()
