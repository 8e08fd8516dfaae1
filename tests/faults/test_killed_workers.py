"""`kill -9` of gateway workers and SIGTERM, both under load, and a full disk: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import DONE, EVENTS, SSE_HEAD, Chaos, Script, Talk, chunk, well_behaved
from gateway_process import GatewayProcess, configure, sockets
from load import Load
from waiting import wait_for
from wire import Wire, body_for, new_nonce, post

CALLERS = 8
STREAMS = 24


def paced(gate: threading.Event) -> Script:
    """A stream whose first event comes at once and the rest when `gate` opens."""

    def script(talk: Talk) -> None:
        talk.send(SSE_HEAD, chunk(EVENTS[0]))
        gate.wait(60)
        talk.send(chunk(EVENTS[1] + DONE), b"0\r\n\r\n")

    return script


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def chaos(gate: threading.Event) -> Iterator[Chaos]:
    with Chaos({"good": well_behaved, "paced": paced(gate)}) as made:
        yield made
        gate.set()


def gateway_in(folder: Path, chaos: Chaos, workers: int = 1) -> GatewayProcess:
    configure(folder, {name: chaos.base_url(name) for name in chaos.scripts}, idle_timeout=60.0)
    return GatewayProcess(folder, workers=workers)


def begin_streams(gateway: GatewayProcess) -> list[Wire]:
    """Streams that have begun and wait for the gate."""
    wires = [Wire(gateway.url) for _ in range(STREAMS)]
    for wire in wires:
        wire.send(post(body_for("paced", new_nonce(), stream=True)))
    for wire in wires:
        wire.until(EVENTS[0])
    return wires


def test_killed_workers_lose_nothing_acknowledged(tmp_path: Path, chaos: Chaos) -> None:
    chance = random.Random(4)
    with gateway_in(tmp_path, chaos, workers=2) as gateway:
        with Load(gateway.url, CALLERS) as load:
            for _ in range(3):
                load.more(100)
                victim = chance.choice(gateway.workers())
                os.kill(victim, signal.SIGKILL)
                load.more(50)  # the survivor carries on
                wait_for(lambda v=victim: v not in (now := gateway.workers()) and len(now) == 2, 30, "a new worker")
            load.more(200)
        assert gateway.stop() == 0
        # Only what the killed worker had in hand can have failed: one request per caller.
        assert load.cut + load.lost <= 3 * CALLERS
        load.kept_once(gateway.traces())


def test_streams_of_the_survivor_go_on(tmp_path: Path, chaos: Chaos, gate: threading.Event) -> None:
    with gateway_in(tmp_path, chaos, workers=2) as gateway:
        before = {pid: sockets(pid) for pid in gateway.workers()}
        wires = begin_streams(gateway)
        held = {pid: sockets(pid) - count for pid, count in before.items()}
        victim = min(held, key=lambda pid: held[pid])
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in gateway.workers())
        gate.set()
        answers = [wire.answer() for wire in wires]
        assert sum(not answer.whole for answer in answers) <= held[victim] / 2 + 1
        whole = [answer for answer in answers if answer.whole]
        assert whole and all(answer.body == EVENTS[0] + EVENTS[1] + DONE for answer in whole)
        kept = {trace.trace_id for trace in gateway.traces()}
        assert {answer.headers["x-freehold-trace"] for answer in whole} <= kept


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_streams_finish(tmp_path: Path, chaos: Chaos, gate: threading.Event, workers: int) -> None:
    with gateway_in(tmp_path, chaos, workers=workers) as gateway, Load(gateway.url, CALLERS) as load:
        wires = begin_streams(gateway)
        load.more(100)
        gateway.process.terminate()
        wait_for(lambda: refuses(gateway.url), what="no new connections are taken")
        assert gateway.process.poll() is None
        gate.set()
        answers = [wire.answer() for wire in wires]
        assert all(answer.whole and answer.body == EVENTS[0] + EVENTS[1] + DONE for answer in answers)
        assert gateway.process.wait(30) == 0
    assert load.cut == 0
    load.acknowledged += [answer.headers["x-freehold-trace"] for answer in answers]
    load.kept_once(gateway.traces())
    assert "Traceback" not in gateway.log.read_text()


def refuses(url: str) -> bool:
    try:
        with Wire(url, timeout=1.0):
            return False
    except (TimeoutError, ConnectionRefusedError, ConnectionResetError):
        return True


def test_traffic_flows_while_nothing_can_be_written(tmp_path: Path, chaos: Chaos) -> None:
    """No file may grow: neither the journal nor the log. It is recorded again as soon as that is over."""
    with gateway_in(tmp_path, chaos) as gateway, Load(gateway.url, CALLERS) as load:
        load.more(100)
        before = set(load.acknowledged)
        [worker] = gateway.workers()
        soft, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        wait_for(lambda: any("Recording is shed" in said for said in gateway.degraded()), what="recording is shed")
        load.more(200)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (soft, hard))
        wait_for(lambda: gateway.degraded() == [], what="recording again")
        again = time.monotonic()
        load.more(200)
    assert not load.wrong and load.cut == load.lost == 0
    traces = gateway.traces()
    kept = {trace.trace_id for trace in traces}
    # By when it was asked: an answer from the time when nothing was recorded may reach its caller later.
    after = {trace_id for trace_id, asked in load.asked_at.items() if asked > again}
    assert before <= kept and after and after <= kept and len(kept) == len(traces)
