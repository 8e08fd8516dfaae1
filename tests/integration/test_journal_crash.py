"""Nothing that the journal acknowledged is lost when its writer is killed or the disk fills, encrypted or not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from journal_fixtures import KEYS, SECRET, journalled
from store_fixtures import make_trace

from freehold.domain.errors import LeaseHeld, StoreFull
from freehold.domain.traces import Trace
from freehold.record import Recorder
from freehold.store import JournalWriter
from freehold.store.journal.read import read_segment, worker_journals

# Appends for ever and says each id on standard output once its append has returned.
WRITER = """
import sys
from pathlib import Path
from freehold.domain.ids import new_id
from freehold.store import JournalWriter
from freehold.store.journal.keys import JournalKeys
from freehold.store.journal.options import JournalOptions
from store_fixtures import make_trace
keys = JournalKeys.parse(sys.argv[2], "the test") if sys.argv[2:] else None
writer = JournalWriter(Path(sys.argv[1]) / new_id("wk"), JournalOptions(segment_bytes=200_000, keys=keys))
number = 0
while True:
    number += 1
    trace = make_trace(number, size=number * 37 % 8000)
    writer.append(trace)
    sys.stdout.buffer.write(trace.trace_id.encode() + b"\\n")
    sys.stdout.buffer.flush()
"""

# Limits its own files to 50 KB (EFBIG counts as a full disk), appends until shed, then without limit again.
FILLER = """
import resource, signal, sys
from pathlib import Path
from freehold.config import configure_logs
from freehold.record import Recorder
from freehold.store import JournalWriter
from freehold.store.journal.keys import JournalKeys
from freehold.store.journal.options import JournalOptions
from store_fixtures import make_trace
configure_logs()
keys = JournalKeys.parse(sys.argv[2], "the test") if sys.argv[2:] else None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = JournalWriter(Path(sys.argv[1]) / "wk_full", JournalOptions(keys=keys))
recorder = Recorder(writer)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
kept = []
while not recorder.shed:
    trace = make_trace(len(kept), size=3000)
    if recorder.record(trace):
        kept.append(trace.trace_id)
assert recorder.last_error.code == "store_full", recorder.last_error
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
trace = make_trace(0)
assert recorder.record(trace) and recorder.last_error is None
writer.close()
print("\\n".join([*kept, trace.trace_id]))
"""

HERE = Path(__file__).parent


BOTH = pytest.mark.parametrize("secrets", [(), (SECRET,)], ids=["plain", "encrypted"])


def _start(code: str, folder: Path, secrets: tuple[str, ...]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), *secrets], stdout=subprocess.PIPE, env=environment
    )


def _trace_ids(root: Path) -> list[str]:
    return [record.trace_id for record in journalled(root, KEYS) if isinstance(record, Trace)]


@BOTH
def test_no_acknowledged_record_is_lost_to_kill_9(tmp_path: Path, secrets: tuple[str, ...]) -> None:
    rng = random.Random(0)
    acknowledged: list[str] = []
    for _ in range(6):
        process = _start(WRITER, tmp_path, secrets)
        assert process.stdout is not None
        wanted = rng.randint(50, 1500)
        acknowledged += [process.stdout.readline().decode().strip() for _ in range(wanted)]
        process.send_signal(signal.SIGKILL)
        # What was said between the last line read and the kill was acknowledged too; a half line was not.
        rest = process.stdout.read().decode().split("\n")
        acknowledged += rest[:-1]
        process.wait(timeout=30)
    found = _trace_ids(tmp_path)
    assert len(acknowledged) >= 300
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found)) <= len(acknowledged) + 6  # at most one unsaid record per kill
    assert all(journal.dead for journal in worker_journals(tmp_path))
    assert len(list(tmp_path.glob("*/*.seg"))) > 6  # segments were rotated meanwhile


@BOTH
def test_a_full_disk_sheds_records_and_keeps_the_rest_intact(tmp_path: Path, secrets: tuple[str, ...]) -> None:
    process = _start(FILLER, tmp_path, secrets)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    kept = output.decode().split()
    assert len(kept) > 10
    assert _trace_ids(tmp_path) == kept
    read = read_segment(tmp_path / "wk_full" / "00000001.seg", keys=KEYS)
    assert sum(1 for _ in read) == len(kept)
    assert (read.torn, read.damage) == (False, [])  # the half frame was taken back


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full_from_the_start_is_tried_again(tmp_path: Path) -> None:
    small = tmp_path / "disk"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        ballast = small / "ballast"
        with pytest.raises(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        writer = JournalWriter(small / "journal" / "wk_1")
        recorder = Recorder(writer)
        assert not recorder.record(make_trace(1))
        assert isinstance(recorder.last_error, StoreFull)
        ballast.unlink()
        trace = make_trace(2)
        assert recorder.record(trace)
        writer.close()
        assert journalled(small / "journal") == [trace]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_writers_never_share_a_folder(tmp_path: Path) -> None:
    first, second = JournalWriter(tmp_path / "wk_1"), JournalWriter(tmp_path / "wk_1")
    first.append(make_trace(1))
    with pytest.raises(LeaseHeld, match=str(os.getpid())):
        second.append(make_trace(2))
    first.close()
    second.append(make_trace(2))
    second.close()
    assert len(journalled(tmp_path)) == 2
