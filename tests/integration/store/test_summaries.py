"""Sums that are kept by file are those of the rows, whatever happened to the files meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest
from store_fixtures import make_trace, open_store

from freehold.config import Price, UpstreamSettings
from freehold.dashboard.queries import HOUR, Wanted, list_traces, owned_over_time
from freehold.ledger import ledger
from freehold.ledger.accounts import COLUMNS, add_up
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces import delta, summaries
from freehold.store.traces.read import read_traces

UPSTREAMS = {"up": UpstreamSettings(base_url="http://127.0.0.1:1/v1", prices={"m": Price(2.0, 10.0)})}
START = 1_790_000_000_000_000_000 // HOUR * HOUR


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "LEAST_ROWS", 1)
    monkeypatch.setattr(delta, "SMALL_FILES", 6)


def _add(store: Store, first: int, count: int) -> None:
    """Requests of three tasks and two models, one every twenty minutes; some owned with audits of them."""
    writer = store.open_journal()
    for number in range(first, first + count):
        at = START + number * HOUR // 3
        base = msgspec.structs.replace(make_trace(number), at_ns=at, task=f"task_{number % 3}")
        if number % 4 == 0:
            owned = msgspec.structs.replace(base, answered_by="student/st_1", owned=True, audited=True)
            writer.append(owned)
            audit = make_trace(number)
            writer.append(msgspec.structs.replace(audit, at_ns=at + 5, kind="audit", of=owned.trace_id, task=base.task))
        else:
            writer.append(base)
    writer.close()
    Sealer(store, UPSTREAMS).seal_once()


def _agrees(store: Store, since: int | None = None, until: int | None = None) -> None:
    rows = read_traces(store, since_ns=since, until_ns=until, columns=COLUMNS)
    assert ledger(store, since, until) == add_up(rows, {}, since, until)
    requests = rows.filter(pl.col("kind") == "request")
    if until is None:
        counted = owned_over_time(store, since).buckets
        assert sum(bucket.requests for bucket in counted) == requests.height
        assert sum(bucket.owned for bucket in counted) == int(requests["owned"].sum())
        one = owned_over_time(store, since, "task_1").buckets
        assert sum(bucket.requests for bucket in one) == requests.filter(pl.col("task") == "task_1").height


def test_sums_follow_appends_merges_and_deletions(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _agrees(store)
    for part in range(8):  # merged on the way
        _add(store, part * 40, 40)
        if part % 3 == 0:
            _agrees(store)
    kept = tmp_path / "summaries" / "ledger-2.parquet"
    assert kept.is_file()
    middle = START + 100 * HOUR // 3
    for since, until in [(middle, None), (None, middle), (middle, middle + 20 * HOUR), (middle + 7, middle + HOUR + 9)]:
        _agrees(store, since, until)
    names = set(pl.read_parquet(kept)["_file"])
    assert names <= {uri.rpartition("/")[2] for uri in store.traces.snapshot().files()["uri"]}
    gone = pl.col("task") == "task_2"
    assert store.traces.delete(gone) > 0
    _agrees(store)
    assert "task_2" not in {line.key for line in ledger(store).tasks}
    store.close()


def test_sums_that_are_damaged_or_cannot_be_kept_are_worked_out(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _add(store, 0, 30)
    _agrees(store)
    kept = tmp_path / "summaries" / "ledger-2.parquet"
    kept.write_bytes(kept.read_bytes()[:-100])
    _agrees(store)
    for path in (tmp_path / "summaries").iterdir():
        path.unlink()
    (tmp_path / "summaries").rmdir()
    (tmp_path / "summaries").write_text("in the way")
    _agrees(store)
    store.close()


def test_the_ledger_counts_the_tail_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _add(store, 0, 30)
    writer = store.open_journal()
    writer.append(msgspec.structs.replace(make_trace(1), at_ns=START + 1))
    derive = Deriver(UPSTREAMS)
    assert ledger(store, derive=derive).total.requests == ledger(store).total.requests + 1
    Sealer(store, UPSTREAMS).seal_once()
    assert ledger(store, derive=derive) == ledger(store)
    writer.close()
    store.close()


@pytest.mark.parametrize("order", [range(0, 200, 20), range(180, -1, -20)], ids=["in order", "newest sealed first"])
def test_the_newest_are_found_wherever_they_lie(tmp_path: Path, order: range) -> None:
    store = open_store(tmp_path)
    for first in order:
        _add(store, first, 20)
    everything = read_traces(store, columns=("trace_id", "at_ns", "task", "kind", "request"))
    for task in ("task_1", None):
        wanted = everything if task is None else everything.filter(pl.col("task") == task)
        newest = wanted.sort("at_ns", descending=True)
        for limit in (1, 7, 100, 1000):
            found = read_traces(store, task=task, newest_first=True, limit=limit, columns=everything.columns)
            assert found.rows() == newest.head(limit).rows()
            oldest = read_traces(store, task=task, limit=limit, columns=("trace_id",))
            assert oldest["trace_id"].to_list() == wanted["trace_id"].head(limit).to_list()
    screen = list_traces(store, Wanted(task="task_1"), 5)
    requests = everything.filter((pl.col("task") == "task_1") & (pl.col("kind") == "request"))
    assert [row.trace_id for row in screen] == requests.sort("at_ns", descending=True)["trace_id"].head(5).to_list()
    assert screen[0].asked.startswith("request ")
    assert read_traces(store, newest_first=True, limit=3, task="none").height == 0
    store.close()


READ_BACKLOG = """
import sys
from pathlib import Path
from store_fixtures import open_store
from freehold.record.derive import Deriver
from freehold.store.traces.read import read_traces
store = open_store(Path(sys.argv[1]))
rows = read_traces(store, columns=("trace_id", "status"), derive=Deriver({}))
last = read_traces(store, derive=Deriver({}), newest_first=True, limit=5)
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(rows.height, last.height, int(peak) // 1024)
"""


def test_a_backlog_that_nobody_sealed_is_read_in_bounded_memory(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = store.open_journal()
    for number in range(3000):  # 300 MB of bodies, which records and rows would hold twice
        writer.append(make_trace(number, size=100_000))
    writer.close()
    store.close()
    shared = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(shared)}
    command = [sys.executable, "-c", READ_BACKLOG, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows, last, peak_mb = map(int, done.stdout.split())
    assert (rows, last) == (3000, 5)
    assert peak_mb < 420, f"{peak_mb} MB: the bodies were kept"


def test_what_was_imported_is_not_in_these_books(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _add(store, 0, 30)
    before, over_time = ledger(store), owned_over_time(store, None)
    writer = store.open_journal()
    for number in range(40, 50):
        writer.append(msgspec.structs.replace(make_trace(number), at_ns=START + number, source="litellm"))
    derive = Deriver(UPSTREAMS)
    assert ledger(store, derive=derive) == before
    Sealer(store, UPSTREAMS).seal_once()
    assert ledger(store) == before and owned_over_time(store, None) == over_time
    writer.close()
    store.close()
