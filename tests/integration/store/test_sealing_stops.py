"""The sealer stopped at each step it announces, wherever the tables lie: sealed again, nothing is lost or doubled."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from store_fixtures import make_feedback, make_trace
from store_runs import agent_run

from freehold.domain.places import TablePlace
from freehold.domain.traces import Feedback, Record, Trace
from freehold.record import sealer as sealer_module
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import JournalWriter, Store
from freehold.store.traces import delta
from freehold.store.traces.read import read_feedback, read_traces
from freehold.store.traces.rows import trace_frame

STEPS = {"feedback", "messages", "traces", "remove", "remove-folder", "compact"}


class Stopped(BaseException):
    """As a kill: nothing that the sealer would do on an error is done."""


def _records() -> list[Record]:
    """Plain traces, steps of a run that shares messages, and feedback."""
    run = agent_run("run-1", agents=2, turns=3)
    found: list[Record] = []
    for number, step in enumerate(run):
        plain = make_trace(number)
        found += [step, plain, make_feedback(plain.trace_id)]
    return found


def _journal(folder: Path, records: list[Record]) -> None:
    half = len(records) // 2
    for worker, part in (("wk_1", records[:half]), ("wk_2", records[half:])):
        writer = JournalWriter(folder / "journal" / worker)
        for record in part:
            writer.append(record)
        writer.close()


def _open(folder: Path, place: TablePlace) -> Store:
    return Store.open(folder, f"sqlite:///{folder / 'control.sqlite'}", tables=place)


def _seal(folder: Path, place: TablePlace, stop_at: int = 0) -> list[str]:
    """Seal once; stop at the n-th step. Returns the steps that were come to."""
    steps: list[str] = []

    def at_step(name: str) -> None:
        steps.append(name)
        if len(steps) == stop_at:
            raise Stopped

    store = _open(folder, place)
    try:
        Sealer(store, {}, at_step=at_step).seal_once()
    except Stopped:
        assert len(steps) == stop_at
    finally:
        store.close()
    return steps


def _check(folder: Path, place: TablePlace, records: list[Record]) -> None:
    store = _open(folder, place)
    rows = read_traces(store, columns=("trace_id", "request"))
    wanted = [(record.trace_id, record.request) for record in records if isinstance(record, Trace)]
    assert Counter(rows.iter_rows()) == Counter(wanted)
    judged = read_feedback(store).get_column("feedback_id").to_list()
    assert Counter(judged) == Counter(record.feedback_id for record in records if isinstance(record, Feedback))
    messages = store.messages.scan().select("episode", "digest").collect()
    assert messages.height == messages.n_unique() == 1 + 4 + 2 + 2 * 2 * 2  # no request tells of the last answers
    by_file = [
        store.traces.snapshot().scan_files([uri]).select("episode", "at_ns").collect()
        for uri in store.traces.snapshot().files()["uri"]
    ]
    assert all(rows.equals(rows.sort("episode", "at_ns")) for rows in by_file)
    assert not list(store.journal_root.glob("*/*.seg"))
    store.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer_module, "BATCH_RECORDS", 9)
    monkeypatch.setattr(delta, "SMALL_FILES", 2)  # so that the second batch's files are merged with the first's


def test_stopped_once_at_each_step(tmp_path: Path, at_place: Callable[[str], TablePlace], small: None) -> None:
    records = _records()
    seen: set[str] = set()
    for stop_at in itertools.count(1):
        folder, place = tmp_path / str(stop_at), at_place(str(stop_at))
        _journal(folder, records)
        steps = _seal(folder, place, stop_at)
        seen |= set(steps)
        if len(steps) < stop_at:
            break
        _seal(folder, place)
        _check(folder, place, records)
        shutil.rmtree(folder)
    assert seen == STEPS


def test_stopped_again_and_again_one_step_further_each_time(
    tmp_path: Path, at_place: Callable[[str], TablePlace], small: None
) -> None:
    records = _records()
    place = at_place("chain")
    _journal(tmp_path, records)
    for stop_at in (1, 1, 2, 2, 3, 2, 4, 1, 3, 2, 5, 2, 3, 0):
        _seal(tmp_path, place, stop_at)
    _check(tmp_path, place, records)


def test_a_commit_that_was_not_heard_of_is_not_made_twice(
    tmp_path: Path, at_place: Callable[[str], TablePlace]
) -> None:
    """The table says how far a worker is sealed, so the same rows cannot come in under the same position."""
    store = _open(tmp_path, at_place("twice"))
    trace = make_trace()
    frame = trace_frame([trace], [Deriver({})(trace)])
    store.traces.append(frame, {"wk_1": 7})
    for position in (7, 6):
        with pytest.raises(Exception, match="sealed beyond"):
            store.traces.append(frame, {"wk_1": position})
    store.traces.append(frame.head(0), {"wk_1": 8})  # only feedback came: the position moves
    assert store.traces.sealed_position("wk_1") == 8
    assert store.traces.scan().collect().height == 1
    store.close()
