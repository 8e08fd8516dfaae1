"""The journal behind a real gateway: strict, over its limit, encrypted and killed; traffic flows through all of it."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import DONE, EVENTS, Chaos, well_behaved
from gateway_process import GatewayProcess, configure
from journal_fixtures import KEYS, SECRET, journalled, trace
from waiting import wait_for
from wire import Answer, Wire, ask, body_for, get, new_nonce, post

from freehold.config import GatewaySettings, JournalSettings, Settings, UpstreamSettings
from freehold.domain.traces import Trace
from freehold.gateway import serve_in_thread
from freehold.store import JournalWriter
from freehold.store.journal.options import JournalOptions


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    with Chaos({"good": well_behaved}) as made:
        yield made


def settings(data: Path, chaos: Chaos, **journal: object) -> Settings:
    return Settings(
        gateway=GatewaySettings(port=0),
        upstreams={"good": UpstreamSettings(base_url=chaos.base_url("good"), models=("good",))},
        journal=JournalSettings(**journal),  # type: ignore[arg-type]
        data_dir=str(data),
    )


class Disk:
    """Stands where fdatasync is called: lets it through only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.go, self.done = threading.Event(), threading.Event(), 0
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)

    def _fdatasync(self, fd: int) -> None:
        self.asked.set()
        assert self.go.wait(20)
        self._real(fd)
        self.done += 1


class Reader:
    """Reads one answer in a thread, so that a test can see what has come of it."""

    def __init__(self, url: str, data: bytes) -> None:
        self._wire = Wire(url)
        self._wire.send(data)
        self.answer: Answer | None = None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        self.answer = self._wire.answer()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_strict_means_that_the_disk_has_it_before_the_answer_ends(
    tmp_path: Path, chaos: Chaos, monkeypatch: pytest.MonkeyPatch, stream: bool, path: str
) -> None:
    disk = Disk(monkeypatch)
    with serve_in_thread(settings(tmp_path, chaos, strict=True, sync_ms=60_000)) as gateway:
        reader = Reader(gateway.url, post(body_for("good", new_nonce(), stream=stream), path))
        assert disk.asked.wait(10)
        reader.thread.join(0.3)
        assert reader.answer is None, "the answer ended before its record was on the disk"
        [record] = journalled(tmp_path / "journal")
        disk.go.set()
        reader.thread.join(10)
        assert reader.answer is not None and reader.answer.whole and disk.done == 1
        assert reader.answer.status == 200
        assert isinstance(record, Trace) and reader.answer.headers["x-freehold-trace"] == record.trace_id


def test_without_strict_no_answer_waits_for_the_disk(
    tmp_path: Path, chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with serve_in_thread(settings(tmp_path, chaos, sync_ms=1)) as gateway:
        for stream in (False, True, False):
            answer = ask(gateway.url, post(body_for("good", new_nonce(), stream=stream)))
            assert answer.status == 200 and answer.whole
        assert disk.asked.wait(10) and not disk.done
        disk.go.set()
    assert disk.done >= 1 and len(journalled(tmp_path / "journal")) == 3


def test_a_disk_that_does_not_sync_sheds_in_strict_mode_and_traffic_flows(
    tmp_path: Path, chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with serve_in_thread(settings(tmp_path, chaos, strict=True)) as gateway:
        monkeypatch.setattr(os, "fdatasync", broken)
        answer = ask(gateway.url, post(body_for("good", new_nonce(), stream=True)))
        assert answer.status == 200 and DONE in answer.body and EVENTS[-1] in answer.body
        assert b"Recording is shed (1 so far)" in ask(gateway.url, get("/readyz")).body
        monkeypatch.undo()
        assert ask(gateway.url, post(body_for("good", new_nonce()))).status == 200
        assert b'"degraded":[]' in ask(gateway.url, get("/readyz")).body


def test_over_the_limit_traffic_flows_unrecorded_and_it_is_counted(tmp_path: Path, chaos: Chaos) -> None:
    other = JournalWriter(tmp_path / "journal" / "wk_other", JournalOptions())
    for number in range(110):
        other.append(trace(number, 10_000))
    with serve_in_thread(settings(tmp_path, chaos, max_bytes=1_000_000)) as gateway:
        for stream in (False, True):
            answer = ask(gateway.url, post(body_for("good", new_nonce(), stream=stream)))
            assert answer.status == 200 and answer.whole
        assert b"over journal.max_bytes" in ask(gateway.url, get("/readyz")).body
        assert b"freehold_records_shed_total 2" in ask(gateway.url, get("/metrics")).body
        other.close()
        for path in (tmp_path / "journal" / "wk_other").glob("*.seg"):
            path.unlink()  # as the loop does once they are sealed

        def recorded() -> bool:
            ask(gateway.url, post(body_for("good", new_nonce())))
            return b'"degraded":[]' in ask(gateway.url, get("/readyz")).body

        wait_for(recorded, what="recording goes on")
    assert journalled(tmp_path / "journal")


def test_killed_while_encrypting_nothing_acknowledged_is_lost(tmp_path: Path, chaos: Chaos) -> None:
    configure(tmp_path, {"good": chaos.base_url("good")})
    path = tmp_path / "freehold.toml"
    path.write_text(path.read_text() + '\n[journal]\nencryption_key_env = "JOURNAL_KEY"\nsegment_bytes = 65_536\n')
    chance, acknowledged = random.Random(6), list[str]()
    with GatewayProcess(tmp_path, workers=2, env={"JOURNAL_KEY": SECRET}) as gateway:
        for _ in range(3):
            for number in range(chance.randrange(40, 90)):
                answer = ask(gateway.url, post(body_for("good", new_nonce(), stream=number % 2 == 1)))
                assert answer.status == 200
                acknowledged.append(answer.headers["x-freehold-trace"])
            victim = chance.choice(gateway.workers())
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda victim=victim: victim not in (now := gateway.workers()) and len(now) == 2, 30)
            wait_for(gateway.ready, 30)
        assert SECRET not in gateway.log.read_text()
    found = [record.trace_id for record in journalled(gateway.data / "journal", KEYS) if isinstance(record, Trace)]
    assert set(acknowledged) <= set(found) and len(found) == len(set(found))
    for segment in (gateway.data / "journal").glob("*/*.seg"):
        content = segment.read_bytes()
        assert b"messages" not in content and b"trace_id" not in content
