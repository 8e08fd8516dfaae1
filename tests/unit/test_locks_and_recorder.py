"""Locks say who holds them and are freed by kill -9; the recorder sheds, says so, and never raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from freehold.domain.errors import LeaseHeld, StoreError, StoreFull
from freehold.domain.traces import Record, Trace
from freehold.record import Recorder
from freehold.store import exclusive

HOLDER = """
import sys
from pathlib import Path
from freehold.store.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "loop.lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    with pytest.raises(LeaseHeld, match=str(process.pid)), exclusive(path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    with exclusive(path):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(LeaseHeld, match=str(os.getpid())), exclusive(path):
            pass
    with exclusive(path):
        pass


class _Journal:
    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.records: list[Record] = []

    def append(self, record: Record, /) -> None:
        if self.error is not None:
            raise self.error
        self.records.append(record)


def test_what_cannot_be_written_is_shed_counted_and_said_once_a_minute() -> None:
    journal, now = _Journal(), [0.0]
    recorder = Recorder(journal, clock=lambda: now[0])
    trace = Trace(trace_id="tr_00000001", at_ns=1, request=b"a secret prompt")
    with structlog.testing.capture_logs() as logs:
        assert recorder.record(trace)
        journal.error = StoreFull("The disk is full.", "Free space.")
        assert [recorder.record(trace) for _ in range(3)] == [False] * 3
        assert len(logs) == 1
        now[0] = 61.0
        recorder.record(trace)
        assert [entry["shed"] for entry in logs] == [1, 4]
    assert "secret" not in str(logs)
    assert recorder.last_error is journal.error
    journal.error = None
    assert recorder.record(trace)
    assert (recorder.recorded, recorder.shed, recorder.last_error) == (2, 4, None)
