"""What is asked of a running journal from outside, what bounds it, and what the clock does not change."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from journal_fixtures import KEYS, journalled, open_store, trace, write
from waiting import wait_for

from freehold.domain import ids
from freehold.domain.errors import StoreError, StoreFull
from freehold.domain.traces import Trace
from freehold.record import Recorder
from freehold.record.sealer import Sealer
from freehold.store import JournalWriter
from freehold.store.journal import writer as journal
from freehold.store.journal.folder import (
    LOCK_NAME,
    ROTATE_NAME,
    lock_folder,
    request_rotation,
    request_rotations,
    wait_rotated,
)
from freehold.store.journal.options import JournalOptions
from freehold.store.journal.read import WorkerJournal, remove_dead_folder, worker_journals
from freehold.store.journal.retention import remove_expired
from freehold.store.locks import FileLock
from freehold.store.traces.read import read_traces

# Appends so many records, says so, and then does nothing until its input ends.
IDLER = """
import sys
from pathlib import Path
from freehold.store import JournalWriter
from journal_fixtures import trace
writer = JournalWriter(Path(sys.argv[1]))
for line in sys.stdin:
    for number in range(int(line)):
        writer.append(trace(number))
    print("written", flush=True)
writer.close()
"""
SHARED = Path(__file__).parents[2] / "shared"


class Idler:
    """A process that writes a journal when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IDLER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SHARED)},
        )

    def append(self, count: int) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def idler(tmp_path: Path) -> Iterator[Idler]:
    made = Idler(tmp_path / "data" / "journal" / "wk_idle")
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    assert made.process.wait(20) in (0, -9)


def test_an_idle_worker_of_another_process_begins_a_new_segment(tmp_path: Path, idler: Idler) -> None:
    """Then all that it had written can be sealed and is gone from the journal, while it lives."""
    with closing(open_store(tmp_path / "data", JournalOptions())) as store:
        idler.append(5)
        [before] = store.journals()
        began = time.monotonic()
        requests = request_rotations(store.journal_root)
        assert [request.newest for request in requests] == [1]
        wait_rotated(requests, 10)
        assert time.monotonic() - began < 2.0
        assert not (before.folder / ROTATE_NAME).exists()
        assert Sealer(store, {}).seal_once().segments_removed == 1
        assert not before.segments[1].exists()
        # Nothing was written since: there is nothing to wait for, and no segment is begun for it.
        assert request_rotations(store.journal_root) == []
        idler.append(3)
        assert len(journalled(store.journal_root)) == 3
        assert [sorted(found.segments) for found in store.journals()] == [[2]]


def test_an_idle_worker_costs_next_to_nothing(idler: Idler) -> None:
    idler.append(5)
    before = idler.cpu_seconds()
    threading.Event().wait(3.0)
    assert idler.cpu_seconds() - before <= 0.03  # one percent


def test_requests_while_it_writes_lose_and_double_nothing(tmp_path: Path) -> None:
    writer, stop = JournalWriter(tmp_path / "wk_1", JournalOptions(sync_seconds=0.005)), threading.Event()
    written: list[str] = []

    def append() -> None:
        while not stop.is_set():
            record = trace(len(written))
            writer.append(record)
            written.append(record.trace_id)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        for _ in range(5):
            wait_for(lambda: request_rotation(tmp_path / "wk_1"))
            count = len(worker_journals(tmp_path)[0].segments)
            wait_for(lambda count=count: len(worker_journals(tmp_path)[0].segments) > count)
    finally:
        stop.set()
        thread.join()
        writer.close()
    found = [record.trace_id for record in journalled(tmp_path) if isinstance(record, Trace)]
    assert found == written
    assert len(worker_journals(tmp_path)[0].segments) >= 5


def test_dead_and_empty_folders_are_not_waited_for_and_a_stopped_worker_is(tmp_path: Path, idler: Idler) -> None:
    write(tmp_path / "dead", [trace()], JournalOptions())
    (tmp_path / "empty").mkdir()
    assert request_rotations(tmp_path) == [] and request_rotations(tmp_path / "nothing here") == []
    idler.append(1)
    folder = tmp_path / "data" / "journal" / "wk_idle"
    os.kill(idler.process.pid, 19)  # SIGSTOP
    try:
        request = request_rotation(folder)
        assert request is not None
        with pytest.raises(StoreError, match=r"wk_idle has begun no new segment within 0\.3 s"):
            wait_rotated([request], 0.3)
    finally:
        os.kill(idler.process.pid, 18)  # SIGCONT
    wait_rotated([request], 5)


def test_a_request_that_outlives_its_worker_keeps_nothing_from_being_removed(tmp_path: Path, idler: Idler) -> None:
    idler.append(2)
    os.kill(idler.process.pid, 19)  # SIGSTOP: it does not see the request
    folder = tmp_path / "data" / "journal" / "wk_idle"
    request = request_rotation(folder)
    assert request is not None and (folder / ROTATE_NAME).exists()
    idler.process.kill()
    idler.process.wait(20)
    wait_rotated([request], 1)  # nobody writes there any more
    with closing(open_store(tmp_path / "data", JournalOptions())) as store:
        assert Sealer(store, {}).seal_once().records == 2
        assert not folder.exists()


def _is_new(found: WorkerJournal) -> bool:
    """Whether it is in a segment after the first, with nothing in it."""
    return found.final(1) and found.segments[max(found.segments)].stat().st_size == 0


def test_over_the_limit_records_are_shed_until_enough_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, one idle: both begin new segments, so that what they hold can be sealed and the limit be left."""
    monkeypatch.setattr(journal, "LOOK_SECONDS", 0.05)
    options = JournalOptions(max_bytes=100_000, sync_seconds=0.005)
    with closing(open_store(tmp_path / "data", options)) as store:
        idle, busy = store.open_journal(), store.open_journal()
        recorder, kept = Recorder(busy), list[str]()
        with closing(idle), closing(busy):
            for number in range(10):
                record = trace(number, 3000)
                idle.append(record)
                kept.append(record.trace_id)
            while not recorder.shed:
                record = trace(len(kept), 3000)
                if recorder.record(record):
                    kept.append(record.trace_id)
            assert isinstance(recorder.last_error, StoreFull)
            assert "journal.max_bytes (100,000)" in recorder.last_error.message
            assert "freehold loop" in recorder.last_error.hint
            # The limit holds for whoever starts now as well.
            late = store.open_journal()
            with closing(late), pytest.raises(StoreFull):
                late.append(trace())
            # A worker that finds it later than the other asks for new segments once more.
            wait_for(lambda: all(map(_is_new, store.journals()[:2])))
            sealer = Sealer(store, {})
            assert sealer.seal_once().segments_removed >= 2
            last = trace(1)
            wait_for(lambda: recorder.record(last))
            assert recorder.last_error is None
            assert len(journalled(store.journal_root)) == 1
        sealer.seal_once()
        assert read_traces(store, columns=["trace_id"])["trace_id"].to_list() == [*kept, last.trace_id]


def test_sealed_segments_are_kept_as_long_as_asked_and_a_wrong_clock_does_not_keep_them_for_ever(
    tmp_path: Path,
) -> None:
    with closing(open_store(tmp_path / "data", JournalOptions(keep_sealed_seconds=3600, keys=KEYS))) as store:
        write(store.journal_root / "wk_1", [trace(1)], store.journal_options)
        [segment] = [path for found in store.journals() for path in found.segments.values()]
        os.utime(segment, (0, 0))  # written long ago, sealed now
        assert Sealer(store, {}).seal_once().records == 1
        [kept] = store.sealed_root.iterdir()
        assert kept.name == "wk_1-00000001.seg" and not (store.journal_root / "wk_1").exists()
        now = time.time()
        assert remove_expired(store.sealed_root, 3600, now=now + 3500) == 0
        # Sealed while the clock was a year ahead: kept for an hour from now, not for a year and an hour.
        ahead = now + 366 * 86400
        os.utime(kept, (ahead, ahead))
        assert remove_expired(store.sealed_root, 3600, now=now) == 0
        assert remove_expired(store.sealed_root, 3600, now=now + 3601) == 1
        write(store.journal_root / "wk_2", [trace(2)], store.journal_options)
        Sealer(store, {}).seal_once()
        assert remove_expired(store.sealed_root, 0) == 1 and not list(store.sealed_root.iterdir())


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.at = time.time_ns()

    def time_ns(self) -> int:
        return self.at


JUMPS: list[Callable[[int], int]] = [
    lambda at: at - 86_400 * 10**9,  # a day back
    lambda at: at,  # it stands still
    lambda at: at + 400 * 86_400 * 10**9,  # a year ahead
    lambda at: at - 200 * 86_400 * 10**9,
    lambda at: at + 1,
]


def test_neither_order_nor_sealing_nor_ids_depend_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = Clock(), list[tuple[str, int]]()
    monkeypatch.setattr(ids, "time", clock)
    with closing(open_store(tmp_path / "data", JournalOptions(segment_bytes=3000))) as store:
        sealer = Sealer(store, {})
        for jump in JUMPS:
            clock.at = jump(clock.at)
            writer = store.open_journal()
            with closing(writer):
                for number in range(10):
                    record = Trace(trace_id=ids.new_id("tr"), at_ns=clock.at, request=b"%d" % number, status=200)
                    writer.append(record)
                    written.append((record.trace_id, clock.at))
                    if number == 5:
                        sealer.seal_once()
            in_order = [record.trace_id for record in journalled(store.journal_root) if isinstance(record, Trace)]
            assert in_order == [trace_id for trace_id, _ in written[-10:]]
            sealer.seal_once()
            assert not list(store.journal_root.glob("*/*.seg"))
        assert len({trace_id for trace_id, _ in written}) == len(written)
        found = read_traces(store, columns=["trace_id", "at_ns"]).rows()
        assert sorted(found) == sorted(written) and [at for _, at in found] == sorted(at for _, at in written)
        middle = written[-1][1]
        early = read_traces(store, until_ns=middle, columns=["trace_id"])["trace_id"].to_list()
        late = read_traces(store, since_ns=middle, columns=["trace_id"])["trace_id"].to_list()
        assert sorted(early + late) == sorted(trace_id for trace_id, _ in written) and early and late


def test_a_folder_that_looks_old_is_taken_from_a_starting_worker_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the clock jumps ahead between a worker's making its folder and locking it."""
    writer = JournalWriter(tmp_path / "wk_1")
    taken: list[bool] = []

    def interrupted(folder: Path) -> FileLock:
        lock = lock_folder(folder)
        if not taken:
            taken.append(True)
            (folder / LOCK_NAME).unlink()
            folder.rmdir()
        return lock

    monkeypatch.setattr(journal, "lock_folder", interrupted)
    with pytest.raises(StoreError, match="was removed while"):
        writer.append(trace(1))
    kept = trace(2)
    writer.append(kept)
    assert not worker_journals(tmp_path)[0].dead and not remove_dead_folder(tmp_path / "wk_1")
    writer.close()
    assert journalled(tmp_path) == [kept]
