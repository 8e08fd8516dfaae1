"""`freehold journal check` finds damage, and `repair` takes it out and loses nothing, killed at any point or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journal_fixtures import KEYS, SECRET, journalled, open_store, trace, write

from freehold.cli.main import main
from freehold.domain.traces import Trace
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.journal.options import JournalOptions
from freehold.store.journal.read import read_segment
from freehold.store.journal.scan import SegmentScan
from freehold.store.traces.read import read_traces

BOTH = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
SHARED = Path(__file__).parents[2] / "shared"

# Repairs, and kills itself before the n-th of the calls that change something on disk.
REPAIRER = """
import os, signal, sys
from pathlib import Path
from freehold.store.journal import repair as journal_repair
from journal_fixtures import KEYS
left = int(sys.argv[2])
def deadly(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
os.link, os.fsync = deadly(os.link), deadly(os.fsync)
Path.replace, Path.open = deadly(Path.replace), deadly(Path.open)
journal_repair.sync_folder = deadly(journal_repair.sync_folder)
root = Path(sys.argv[1])
for folder in sorted((root / "journal").iterdir()):
    journal_repair.repair_folder(folder, root / "journal-damaged", KEYS)
"""


class Desk:
    """A data folder with a dead worker's journal of two segments, both damaged, and the command line over it."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.config = folder / "freehold.toml"
        key = 'encryption_key_env = "JOURNAL_KEY"\n' if encrypted else ""
        self.config.write_text(
            f'data_dir = "data"\n[journal]\n{key}[upstreams.a]\nbase_url = "http://127.0.0.1:9/v1"\n'
        )
        self.options = JournalOptions(segment_bytes=4000, keys=KEYS if encrypted else None)
        self.store: Store = open_store(folder / "data", self.options)
        self.records = [trace(number, 300) for number in range(14)]
        write(self.store.journal_root / "wk_1", self.records, self.options)
        [journal] = self.store.journals()
        assert len(journal.segments) == 2
        self.first, self.second = journal.segments[1], journal.segments[2]

    def frames(self, path: Path) -> list[tuple[int, int]]:
        return [(frame.start, frame.end) for frame in SegmentScan(path)]

    def damage(self) -> list[Trace]:
        """Two frames of the first segment, and half of the last frame of all; what is left."""
        frames, content = self.frames(self.first), bytearray(self.first.read_bytes())
        content[frames[1][0] + 6] ^= 1  # a length
        content[frames[4][1] - 1] ^= 1  # the last byte of a payload
        self.first.write_bytes(content)
        last = self.frames(self.second)[-1]
        os.truncate(self.second, last[1] - 5)
        return [record for number, record in enumerate(self.records) if number not in (1, 4, 13)]

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        try:
            main(["journal", *arguments, "--json", "--config", str(self.config)])
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JOURNAL_KEY", SECRET)
    made = Desk(tmp_path, encrypted=getattr(request, "param", False))
    with closing(made.store):
        yield made


DESKS = pytest.mark.parametrize("desk", [False, True], ids=["plain", "encrypted"], indirect=True)


@DESKS
def test_check_repair_and_seal(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    code, before = desk.run(capsys, "check")
    assert (code, before["records"], before["unsealed"], before["lost_bytes"]) == (0, 14, 14, 0)
    assert before["oldest_unsealed_ns"] == desk.records[0].at_ns
    assert before["encrypted"] == (14 if desk.options.keys else 0)
    sizes = [end - start for start, end in desk.frames(desk.first)]
    left = desk.damage()
    damaged = desk.first.read_bytes()

    code, found = desk.run(capsys, "check")
    assert code == 1 and found["records"] == len(left)
    assert [item["length"] for item in found["segments"][0]["damage"]] == [sizes[1], sizes[4]]
    assert found["segments"][1]["half_bytes"] == found["half_bytes"] > 0

    code, done = desk.run(capsys, "repair")
    assert code == 0 and [item["records"] for item in done] == [len(desk.frames(desk.first)), 14 - len(sizes) - 1]
    assert [len(item["damage"]) for item in done] == [2, 0] and done[1]["half_bytes"] == found["half_bytes"]
    kept = Path(done[0]["kept"])
    assert kept.read_bytes() == damaged and kept.parent == desk.store.damaged_root
    assert [record for _, record in read_segment(kept, keys=desk.options.keys)] == left[: len(sizes) - 2]
    assert journalled(desk.store.journal_root, desk.options.keys) == left
    events = desk.store.control.events()
    assert sorted(event.evidence["bytes"] for event in events) == sorted([sizes[1], sizes[4]])

    code, found = desk.run(capsys, "check")
    assert (code, found["records"], found["lost_bytes"], found["half_bytes"]) == (0, len(left), 0, 0)
    assert found["segments"][0]["repaired_bytes"] == sizes[1] + sizes[4]
    assert desk.run(capsys, "repair") == (0, [])
    Sealer(desk.store, {}).seal_once()
    sealed = read_traces(desk.store, columns=["trace_id"])["trace_id"].to_list()
    assert sealed == [record.trace_id for record in left]
    assert len(desk.store.control.events()) == 2  # what was told by the repair is not told again


@DESKS
def test_killed_at_every_step_a_repair_has_done_all_or_nothing(desk: Desk) -> None:
    left = desk.damage()
    arguments = [sys.executable, "-c", REPAIRER, str(desk.store.data)]
    environment = {**os.environ, "PYTHONPATH": str(SHARED)}
    kills = 0
    while True:
        done = subprocess.run([*arguments, str(kills % 12 + 1)], env=environment, timeout=60, check=False)
        assert journalled(desk.store.journal_root, desk.options.keys) == left
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
        assert kills < 30
    assert kills >= 8
    for path in (desk.first, desk.second):
        scan = SegmentScan(path)
        assert sum(1 for _ in scan) and not scan.damage and not scan.torn and scan.bad_tail is None
    assert len(list(desk.store.damaged_root.glob("*.seg"))) == 2
    assert not list(desk.store.damaged_root.glob(".*"))


def test_what_is_sealed_of_a_repaired_segment_is_not_sealed_again(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealed up to somewhere in a segment, which is then damaged before and after that place."""
    writer = desk.store.open_journal()
    sealed_first = [trace(number, 300) for number in range(5)]
    for record in sealed_first:
        writer.append(record)
    sealer = Sealer(desk.store, {})
    sealer.seal_once()
    rest = [trace(number, 300) for number in range(5, 9)]
    for record in rest:
        writer.append(record)
    writer.close()
    [journal] = desk.store.journals()
    [path] = journal.segments.values()
    frames, content = desk.frames(path), bytearray(path.read_bytes())
    for number in (2, 6):
        content[frames[number][0] + 30] ^= 4
    path.write_bytes(content)
    code, done = desk.run(capsys, "repair")
    assert code == 0 and len(done[0]["damage"]) == 2
    _, found = desk.run(capsys, "check")
    assert (found["unsealed"], found["oldest_unsealed_ns"]) == (3, rest[0].at_ns)
    sealer.seal_once()
    expected = [record.trace_id for record in (*desk.records, *sealed_first, *rest) if record is not rest[1]]
    assert sorted(read_traces(desk.store, columns=["trace_id"])["trace_id"].to_list()) == sorted(expected)


def test_a_living_workers_folder_is_left_alone(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    writer = desk.store.open_journal()
    for number in range(20):
        writer.append(trace(number, 300))
    alive = next(journal for journal in desk.store.journals() if not journal.dead)
    desk.damage()
    path = alive.segments[1]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    code, said = desk.run(capsys, "repair")
    assert code == 4 and alive.worker in said["error"]["message"] and str(os.getpid()) in said["error"]["message"]
    assert path.read_bytes() == content
    assert desk.run(capsys, "check")[1]["segments"][0]["damage"] == []  # the dead worker's were repaired all the same
    writer.close()
    code, done = desk.run(capsys, "repair")
    assert code == 0 and [item["path"] for item in done] == [str(path)]


@pytest.mark.parametrize("desk", [True], indirect=True)
def test_without_the_key_it_is_counted_repaired_and_not_lost(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = desk.damage()
    desk.config.write_text(desk.config.read_text().replace('encryption_key_env = "JOURNAL_KEY"', ""))
    code, found = desk.run(capsys, "check")
    assert code == 1 and (found["records"], found["locked"], found["frames"]) == (0, len(left), len(left))
    assert found["segments"][0]["keys"] == KEYS.ids
    assert desk.run(capsys, "repair")[0] == 0
    store = open_store(desk.store.data, JournalOptions())
    with closing(store), pytest.raises(Exception, match=KEYS.ids[0]):
        Sealer(store, {}).seal_once()
    assert Sealer(desk.store, {}).seal_once().records == len(left)


def test_a_key_is_made_and_damage_is_shown_to_people(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:

    desk.damage()
    with pytest.raises(SystemExit):
        main(["journal", "check", "--config", str(desk.config)])
    said = capsys.readouterr().out
    assert "hold no intact record" in said and "nobody was told that it was kept" in said and "wk_1" in said
    main(["journal", "key"])
    first = capsys.readouterr()
    assert "encryption_key_env" in first.err and len(first.out.strip()) == 44
