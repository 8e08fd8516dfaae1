"""What the dashboard asks of the trace table, timed in a fresh process: `python table_queries.py FOLDER`."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from freehold.dashboard.queries import Wanted, list_traces, owned_over_time, whole_trace
from freehold.ledger import ledger
from freehold.store import Store
from freehold.store.traces.read import read_traces

RUNS = 7


def timed(ask: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds of the first time, and the median of `RUNS` more."""
    taken: list[float] = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1000)
    return {"first": taken[0], "median": statistics.median(taken[1:])}


def peak_mb() -> float:
    """The most memory this process had at once. Not ru_maxrss, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def open_store(folder: Path) -> Store:
    return Store.open(folder, f"sqlite:///{folder / 'control.sqlite'}")


def main() -> None:
    store = open_store(Path(sys.argv[1]))
    rows = store.traces.scan()
    middle = rows.filter(pl.col("episode").is_not_null()).select("episode", "trace_id").head(60_000).tail(1)
    episode, trace_id = middle.collect().row(0)
    assert len(list_traces(store, Wanted(task="task_07"), 100)) == 100
    assert read_traces(store, episode=episode).height > 1
    day = (pl.col("at_ns") // (86_400 * 10**9)).alias("day")
    by_day_and_model = rows.group_by(day, "model").agg(pl.col("cost_nanousd").sum(), pl.len())
    found = {
        "ledger: cost by day, model, task and key": timed(lambda: ledger(store)),
        "requests and owned ones over time": timed(lambda: owned_over_time(store, None)),
        "a task's last 100 traces, with texts": timed(lambda: list_traces(store, Wanted(task="task_07"), 100)),
        "one episode, requests whole": timed(lambda: read_traces(store, episode=episode)),
        "one trace": timed(lambda: whole_trace(store, trace_id)),
        "cost by (day, model), rows read anew": timed(lambda: by_day_and_model.collect()),
    }
    sys.stdout.write(json.dumps({"queries": found, "peak_mb": peak_mb()}) + "\n")
    store.close()


if __name__ == "__main__":
    main()
