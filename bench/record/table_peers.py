"""The same rows in SQLite and in one plain Parquet file per batch, for `bench/record/table.py`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from table_queries import timed

_KEPT = (
    "trace_id", "at_ns", "kind", "task", "model", "answered_by", "status", "cost_nanousd", "input_tokens",
    "output_tokens", "key", "episode", "request", "response", "answer",
)  # fmt: skip
Frames = Callable[[], "list[pl.DataFrame]"]


def sqlite(folder: Path, frames: list[pl.DataFrame]) -> dict[str, object]:
    """SQLite in WAL mode with indexes for these very queries; bodies as they are."""
    path = folder / "peer.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"CREATE TABLE traces ({', '.join(_KEPT)}, PRIMARY KEY (trace_id))")
    database.execute("CREATE INDEX by_task ON traces (task, at_ns)")
    database.execute("CREATE INDEX by_episode ON traces (episode)")
    started = time.process_time()
    for frame in frames:
        with database:
            marks = ", ".join("?" * len(_KEPT))
            database.executemany(f"INSERT INTO traces VALUES ({marks})", frame.select(_KEPT).rows())
    taken = time.process_time() - started
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    episode = next(iter(frames[-1]["episode"].drop_nulls()))
    day = "at_ns / 86400000000000"
    queries = {
        "cost": f"SELECT {day}, model, sum(cost_nanousd), count(*) FROM traces GROUP BY 1, 2",
        "newest": "SELECT * FROM traces WHERE task = 'task_07' ORDER BY at_ns DESC LIMIT 100",
        "episode": f"SELECT * FROM traces WHERE episode = '{episode}' ORDER BY at_ns",
    }
    found = {name: timed(lambda query=query: database.execute(query).fetchall()) for name, query in queries.items()}
    database.close()
    rows = sum(frame.height for frame in frames)
    return {"cpu_us": taken / rows * 1e6, "bytes": path.stat().st_size / rows, "queries": found}


def parquet(folder: Path, frames: list[pl.DataFrame]) -> dict[str, object]:
    """A folder of Parquet files as polars writes them when nothing is asked of it."""
    place = folder / "peer"
    place.mkdir()
    started = time.process_time()
    for number, frame in enumerate(frames):
        frame.select(_KEPT).write_parquet(place / f"{number:04}.parquet")
    taken = time.process_time() - started
    rows = pl.scan_parquet(place / "*.parquet")
    episode = next(iter(frames[-1]["episode"].drop_nulls()))
    day = (pl.col("at_ns") // (86_400 * 10**9)).alias("day")
    queries: dict[str, pl.LazyFrame] = {
        "cost": rows.group_by(day, "model").agg(pl.col("cost_nanousd").sum(), pl.len()),
        "newest": rows.filter(pl.col("task") == "task_07").sort("at_ns", descending=True).head(100),
        "episode": rows.filter(pl.col("episode") == episode).sort("at_ns"),
    }
    found = {name: timed(lambda query=query: query.collect()) for name, query in queries.items()}
    count = sum(frame.height for frame in frames)
    size = sum(path.stat().st_size for path in place.iterdir())
    return {"cpu_us": taken / count * 1e6, "bytes": size / count, "queries": found}
