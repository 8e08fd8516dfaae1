"""The sealer moves every record into the tables exactly once, wherever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable
from store_fixtures import make_feedback, make_trace, open_store, sealed_ids

from freehold.config import UpstreamSettings
from freehold.domain.errors import LeaseHeld
from freehold.record import sealer as sealer_module
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import JournalWriter, exclusive
from freehold.store.journal.options import JournalOptions
from freehold.store.journal.read import pack_position, unpack_position
from freehold.store.traces.read import get_trace, read_feedback, read_traces

HERE = Path(__file__).parent

# Seals in small batches and kills itself at the n-th step; says each step it comes to.
SEALER = """
import os, signal, sys
from pathlib import Path
from freehold.config import configure_logs
from freehold.record import sealer
from store_fixtures import open_store
configure_logs()
sealer.BATCH_RECORDS = 7
left = int(sys.argv[2])
def at_step(name):
    global left
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sealer.Sealer(open_store(Path(sys.argv[1])), {}, at_step=at_step).seal_once()
"""


def _fill(folder: Path) -> tuple[list[str], list[str]]:
    """Two dead workers' journals of several segments, with feedback in between and one damaged frame."""
    traces: list[str] = []
    judgements: list[str] = []
    for worker in ("wk_1", "wk_2"):
        writer = JournalWriter(folder / "journal" / worker, JournalOptions(segment_bytes=2500))
        for number in range(15):
            trace = make_trace(number)
            writer.append(trace)
            traces.append(trace.trace_id)
            if number % 4 == 0:
                feedback = make_feedback(trace.trace_id)
                writer.append(feedback)
                judgements.append(feedback.feedback_id)
        writer.close()
    segment = folder / "journal" / "wk_1" / "00000001.seg"
    data = bytearray(segment.read_bytes())
    data[20] ^= 1  # in the first frame: its trace is lost, and only it
    segment.write_bytes(data)
    return traces[1:], judgements


def _run(folder: Path, kill_at: int) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", SEALER, str(folder), str(kill_at)]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": str(HERE)}, timeout=120, check=False
    )
    sys.stderr.write(done.stderr.decode()[-1500:])  # shown when the test fails
    return done.returncode, done.stdout.decode().split()


def test_killed_at_every_step_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """One journal, killed at the first step it comes to, then the second of what is left, and so on to the end."""
    traces, judgements = _fill(tmp_path)
    seen: set[str] = set()
    for kill_at in (1, 2, 3, 2, 3, 4, 5, 3, 2, 0):
        code, steps = _run(tmp_path, kill_at)
        assert code == (0 if len(steps) < kill_at or not kill_at else -signal.SIGKILL)
        seen |= set(steps[-1:] if code else steps)
    assert {"damage", "feedback", "traces", "remove"} <= seen
    store = open_store(tmp_path)
    assert sorted(sealed_ids(store)) == sorted(traces)
    assert sorted(read_feedback(store).get_column("feedback_id").to_list()) == sorted(judgements)
    events = store.control.events()
    assert [event.kind for event in events] == ["journal-damaged"]
    assert Path(events[0].evidence["kept"]).is_file()
    assert not list(store.journal_root.glob("*/*.seg"))
    for left_over in store.journal_root.iterdir():  # a folder whose sealer died between its last two removals
        os.utime(left_over, (0, 0))
    Sealer(store, {}).seal_once()
    assert not list(store.journal_root.iterdir())
    store.close()


@pytest.mark.parametrize("kill_at", [1, 3, 6])
def test_killed_once_at_an_early_step(tmp_path: Path, kill_at: int) -> None:
    traces, judgements = _fill(tmp_path)
    assert _run(tmp_path, kill_at)[0] == -signal.SIGKILL
    assert _run(tmp_path, 0)[0] == 0
    store = open_store(tmp_path)
    assert sorted(sealed_ids(store)) == sorted(traces)
    assert sorted(read_feedback(store).get_column("feedback_id").to_list()) == sorted(judgements)
    assert len(store.control.events()) == 1
    store.close()


def test_a_living_workers_records_are_seen_once_before_and_after_sealing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    prices = {"up": UpstreamSettings(base_url="http://127.0.0.1:1/v1")}
    sealer, derive = Sealer(store, prices), Deriver(prices)
    writer = store.open_journal()
    first, second = make_trace(1), make_trace(2)
    writer.append(first)
    assert sealer.seal_once().traces == 1
    writer.append(second)
    assert read_traces(store)["trace_id"].to_list() == [first.trace_id]
    seen = read_traces(store, derive=derive, columns=["trace_id", "answer", "tokens_source"])
    assert seen.rows() == [(t.trace_id, "card_arrival", "measured") for t in (first, second)]
    assert read_traces(store, derive=derive, task="other").height == 0
    assert read_traces(store, derive=derive, since_ns=second.at_ns)["trace_id"].to_list() == [second.trace_id]
    assert (get_trace(store, first.trace_id), get_trace(store, second.trace_id)) == (first, second)
    report = sealer.seal_once()
    assert (report.traces, report.segments_removed) == (1, 0)  # its newest segment is still written to
    assert read_traces(store, derive=derive)["trace_id"].to_list() == [first.trace_id, second.trace_id]
    assert sealer.seal_once().records == 0
    writer.close()
    assert sealer.seal_once().segments_removed == 1
    assert not list(store.journal_root.iterdir())
    assert get_trace(store, second.trace_id) == second
    store.close()


def test_compaction_and_checkpoints_keep_rows_and_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.store.traces.delta.SMALL_FILES", 10)
    store = open_store(tmp_path)
    sealer = Sealer(store, {})
    writer = store.open_journal()
    ids: list[str] = []
    for number in range(45):  # past two of Delta's checkpoints, at every 20 commits
        trace = make_trace(number)
        ids.append(trace.trace_id)
        writer.append(trace)
        sealer.seal_once()
    assert sorted(sealed_ids(store)) == sorted(ids)
    assert (tmp_path / "traces" / "_delta_log" / "_last_checkpoint").is_file()
    assert unpack_position(store.traces.sealed_position(writer.folder.name))[0] == 1
    assert len(DeltaTable(store.traces.uri).file_uris()) < 15
    writer.close()
    store.close()


def test_a_second_sealer_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with exclusive(tmp_path / "sealer.lock"), pytest.raises(LeaseHeld):
        Sealer(store, {}).seal_once()
    assert Sealer(store, {}).seal_once().records == 0
    store.close()


def test_positions_grow_with_segment_and_offset() -> None:
    places = [(1, 0), (1, 99), (2, 0), (2, 64 * 1024 * 1024), (3, 1)]
    packed = [pack_position(*place) for place in places]
    assert packed == sorted(packed) and [unpack_position(position) for position in packed] == places


def test_memory_is_bounded_by_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer_module, "BATCH_BYTES", 10_000)
    store = open_store(tmp_path)
    writer = store.open_journal()
    for number in range(30):
        writer.append(make_trace(number, size=2000))
    steps: list[str] = []
    report = Sealer(store, {}, at_step=steps.append).seal_once()
    assert (report.traces, steps.count("traces")) == (30, 6)
    assert json.loads(get_trace(store, sealed_ids(store)[0]).response)["model"] == "m-1"  # type: ignore[union-attr]
    writer.close()
    store.close()
