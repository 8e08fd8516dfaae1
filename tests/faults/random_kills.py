"""Gateway workers under load, a sealer and a curate job over one data folder, each killed (-9) at random moments.

Sealers and curate jobs are forked from a nursery that has imported everything and run nothing, so that hundreds of
them cost seconds, not minutes. `python random_kills.py nursery DATA` is that nursery.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from chaos import DONE, Chaos, Talk, plain, whole_stream
from gateway_process import ENVIRONMENT, GatewayProcess, configure
from load import Load
from waiting import wait_for

from freehold.config import Settings
from freehold.config.load import load_settings
from freehold.curate import build_dataset, discover
from freehold.domain.errors import Conflict, EvidenceError, LeaseHeld
from freehold.record.opening import open_store
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.artifacts import read_dataset

WORKERS = 3
CALLERS = 4
PACE_SECONDS = 0.015
"""How long the upstream thinks: what bounds the load, so that all of it can be checked."""
KINDS = ("gateway worker", "sealer", "curate job")
WEIGHTS = (2, 4, 4)
"""A worker is a whole process to start again; the others are forked."""
MOST_BETWEEN = 0.4
"""Seconds between two kills, at most; drawn evenly."""
_paused = threading.Event()


def labels(talk: Talk) -> None:
    """An answer that can be curated, with what tells it from all others."""
    asked = json.loads(talk.asked.body or b"{}")
    _paused.wait(PACE_SECONDS)
    nonce = asked.get("user", "")
    label = ("yes", "no")[int(nonce[-1:] or "0", 16) % 2]
    if asked.get("stream"):
        delta = {
            "id": nonce,
            "model": "good",
            "choices": [{"index": 0, "delta": {"content": label}, "finish_reason": "stop"}],
        }
        talk.send(whole_stream(b"data: " + json.dumps(delta).encode() + b"\n\n", DONE))
        return
    message = {"index": 0, "message": {"role": "assistant", "content": label}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    talk.send(plain(json.dumps({"id": nonce, "model": "good", "choices": [message], "usage": usage}).encode()))


class Outcome(NamedTuple):
    """What became of it all."""

    kills: Counter[str]
    acknowledged: int
    cut: int
    """Answers that broke off, or never came: their callers know it."""
    sealed: int
    lost: int
    """Acknowledged traces that are not in the table."""
    doubled: int
    """Traces that are in the table more than once."""
    datasets: int
    """Stored by curate jobs, and by one that was let finish; each was read again and is whole."""
    wrong: int
    """Answers that were another's."""

    def __str__(self) -> str:
        killed = ", ".join(f"{self.kills[kind]} {kind}s" for kind in KINDS)
        return (
            f"{sum(self.kills.values())} kills ({killed}): {self.acknowledged} acknowledged, {self.lost} lost, "
            f"{self.doubled} doubled; {self.cut} answers cut; {self.datasets} datasets, all whole."
        )


class Nursery:
    """Starts sealers and curate jobs over `folder`; one of each lives at a time."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, "nursery", str(folder / "freehold.toml")]
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "shared")])
        with (folder / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**ENVIRONMENT, "PYTHONPATH": path},
            )
        self.alive: dict[str, int] = {}

    def start(self, kind: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(kind + "\n")
        self._process.stdin.flush()
        self.alive[kind] = int(self._process.stdout.readline())

    def kill(self, kind: str) -> None:
        """Kill the one that lives, and start another."""
        os.kill(self.alive[kind], signal.SIGKILL)
        self.start(kind)

    def close(self) -> None:
        for pid in self.alive.values():
            _end(pid)
        self._process.kill()
        self._process.wait()


def _end(pid: int) -> None:
    """Kill a process that is nobody's child here, and wait until it is gone with all its locks."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        os.kill(pid, signal.SIGKILL)
        ended, _, _ = select.select([watched], [], [], 60.0)
        assert ended, f"process {pid} outlived SIGKILL for a minute"
    finally:
        os.close(watched)


def drill(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill so often; then let everything end in order, seal the rest, and count."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        chaos = stack.enter_context(Chaos({"good": labels}))
        patient: dict[str, Any] = {
            "connect_timeout": 20.0,
            "first_byte_timeout": 30.0,
            "idle_timeout": 30.0,
        }  # it is not about slowness
        configure(folder, {"good": chaos.base_url("good")}, terms="own", **patient)
        with (folder / "freehold.toml").open("a") as file:
            file.write("\n[loop]\nmin_samples = 50\nmax_samples = 2000\n")
        gateway = stack.enter_context(GatewayProcess(folder, workers=WORKERS))
        nursery = Nursery(folder)
        stack.callback(nursery.close)
        for kind in KINDS[1:]:
            nursery.start(kind)
        with Load(gateway.url, CALLERS) as load:
            load.more(100)
            for _ in range(kills):
                _paused.wait(chance.uniform(0.0, MOST_BETWEEN))
                [kind] = chance.choices(KINDS, WEIGHTS)
                counts[kind] += 1
                if kind == KINDS[0]:
                    os.kill(chance.choice(wait_for(lambda: _workers(gateway))), signal.SIGKILL)
                else:
                    nursery.kill(kind)
            load.more(100, seconds=60.0)
        assert gateway.stop() == 0
    return _counted(folder, counts, load)


def _workers(gateway: GatewayProcess) -> list[int]:
    """Those that live: right after a kill there may be none for a moment, but the supervisor."""
    return [pid for pid in gateway.workers() if pid != gateway.process.pid]


def _counted(folder: Path, kills: Counter[str], load: Load) -> Outcome:
    settings = load_settings(folder / "freehold.toml")
    store = open_store(settings)
    Sealer(store, settings.upstreams).seal_once()
    for task in discover(store, settings, time.time_ns()):
        build_dataset(store, settings, task, time.time_ns())
    rows = Counter(store.traces.scan().select("trace_id").collect().get_column("trace_id").to_list())
    datasets = store.control.datasets.list()
    for dataset in datasets:
        samples = read_dataset(store.data / dataset.path, dataset.sha256)
        ids = [sample.trace_id for sample in samples]
        assert len(samples) == dataset.rows == len(set(ids)) and set(ids) <= set(rows)
    store.close()
    return Outcome(
        kills=kills,
        acknowledged=len(load.acknowledged),
        cut=load.cut + load.lost,
        sealed=sum(rows.values()),
        lost=len(set(load.acknowledged) - set(rows)),
        doubled=sum(count > 1 for count in rows.values()),
        datasets=len(datasets),
        wrong=len(load.wrong),
    )


def _nursery(config: Path) -> None:
    """Fork a child for each line of standard input, and say its process id."""
    settings = load_settings(config)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed children leave nothing behind
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            {"sealer": _seal, "curate job": _curate}[line.strip()](open_store(settings), settings)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _seal(store: Store, settings: Settings) -> None:
    sealer = Sealer(store, settings.upstreams)
    while True:
        try:
            sealer.seal_once()
        except LeaseHeld:  # of the one that was killed just now
            continue
        _paused.wait(0.02)


def _curate(store: Store, settings: Settings) -> None:
    while True:
        for task in discover(store, settings, time.time_ns()):
            try:
                build_dataset(store, settings, task, time.time_ns())
            except (Conflict, EvidenceError):
                continue
        _paused.wait(0.05)


if __name__ == "__main__":
    _nursery(Path(sys.argv[2]))
