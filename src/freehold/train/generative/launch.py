"""Start the workers of a run on this machine, watch them, and tell once what went wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from freehold.domain.errors import TrainingError
from freehold.train.generative.spec import FAILURE, PROGRESS, RESULT, Failure, Fit, Spec, read_json
from freehold.train.progress import Progress

TrainBy: TypeAlias = "Callable[[Path, Spec, Callable[[Progress], None]], Fit]"
"""Trains what lies in a `run/` folder; what comes of it lies there, and beside it, when it returns."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_LOOK_SECONDS = 0.2
_MEETING = "meeting"
_RESTARTS = 3
WORKER = "freehold.train.generative.worker"
_GRACE_SECONDS = 5.0
_LAST_CHARACTERS = 600
_OUT_OF_MEMORY_SIGNAL = -signal.SIGKILL


class Workers:
    """The processes of one run. They end when this process does, or when the block is left."""

    def __init__(self, run: Path, spec: Spec, environment: Mapping[str, str] = _NOTHING) -> None:
        """`environment`: what they find in theirs, beside what this process has in its own."""
        self._run, self._spec, self._given = run, spec, environment
        for name in (FAILURE, PROGRESS, RESULT, _MEETING):
            (run / name).unlink(missing_ok=True)
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        try:
            for number, (command, environment) in enumerate(self._commands()):
                self._processes.append(self._start(number, command, environment))
        except OSError as error:
            self._end()
            raise TrainingError(f"Training cannot be started: {error.strerror}.", "Check memory.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """Process ids: who must make room for others may stop and continue them."""
        return [process.pid for process in self._processes]

    @property
    def _size(self) -> int:
        """Preferences are learned by one process."""
        return 1 if self._spec.recipe.method == "dpo" else self._spec.recipe.run.workers

    def wait(self, watch: Callable[[Progress], None]) -> Fit:
        """Wait for the end; `watch` hears of progress as it is made.

        Raises:
            TrainingError: a worker failed; what it said, or what its end means.
        """
        seen: Progress | None = None
        while True:
            done = self._waited()
            progress = read_json(self._run / PROGRESS, Progress)
            if progress is not None and progress != seen:
                seen = progress
                watch(progress)
            if done:
                break
        result = read_json(self._run / RESULT, Fit)
        if result is None:
            raise self._failure(0)
        return result

    def _waited(self) -> bool:
        """Whether all have ended well, after waiting a moment for the first that has not."""
        running = [process for process in self._processes if process.poll() is None]
        if running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[0].wait(_LOOK_SECONDS)
        codes = [process.poll() for process in self._processes]
        bad = next((code for code in codes if code), None)
        if bad is not None:
            # One that was killed is the cause; those that lost it say so and exit, so they are given time to.
            self._end()
            raise self._failure(min(code for code in codes if code))
        return all(code == 0 for code in codes)

    def _commands(self) -> list[tuple[list[str], dict[str, str]]]:
        """Of each process: its command, and what its environment says beside."""
        size = self._size
        # Whoever takes nothing from environment and folder to import wants as much of what it starts.
        isolated = ("-I",) if sys.flags.isolated else ()
        command = [sys.executable, *isolated, "-m", WORKER, "--folder", str(self._run)]
        if size == 1:
            return [(command, {})]
        meeting = {"WORLD_SIZE": str(size), "FREEHOLD_MEETING": str(self._run / _MEETING)}
        return [(command, {"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting}) for rank in range(size)]

    def _start(self, number: int, command: list[str], own: Mapping[str, str]) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "FREEHOLD_TIED": "1",
            "OMP_NUM_THREADS": str(self._spec.recipe.run.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "GLOO_SOCKET_IFNAME": "lo" if sys.platform.startswith("linux") else "lo0",
            **self._given,
            **own,
        }
        with self._log(number).open("wb") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def _failure(self, code: int) -> TrainingError:
        told = read_json(self._run / FAILURE, Failure)
        if code == _OUT_OF_MEMORY_SIGNAL:
            return TrainingError(
                "A training process was killed, most likely because memory ran out.",
                "Use [run] accumulate, fewer workers or a smaller model, or free memory; it goes on from its last "
                "checkpoint.",
            )
        if told is not None:
            return TrainingError(told.message, told.hint)
        said = "".join(log.read_text(errors="replace") for log in sorted(self._run.glob("worker-*.log")))
        return TrainingError(
            f"A training process ended with code {code}: {said.strip()[-_LAST_CHARACTERS:]}",
            f"Its whole output is in {self._run}.",
        )

    def _log(self, number: int) -> Path:
        return self._run / f"worker-{number}.log"


class Torchrun(Workers):
    """The same by torchrun, which starts all of them again when one dies: they go on from the last checkpoint."""

    def _commands(self) -> list[tuple[list[str], dict[str, str]]]:
        size = self._size
        starts = ["--standalone", f"--nproc-per-node={size}", f"--max-restarts={_RESTARTS}"]
        command = ["-m", "torch.distributed.run", *starts, "-m", WORKER, "--folder", str(self._run)]
        return [([sys.executable, *command], {})]


def train_here(
    run: Path, spec: Spec, watch: Callable[[Progress], None], environment: Mapping[str, str] = _NOTHING
) -> Fit:
    """Train by workers on this machine; `environment` is for them.

    Raises:
        TrainingError: as `Workers.wait`.
    """
    with Workers(run, spec, environment) as workers:
        return workers.wait(watch)


def train_by_torchrun(run: Path, spec: Spec, watch: Callable[[Progress], None]) -> Fit:
    """Train by torchrun on this host, with `[run] workers` processes, each with a GPU where there are some.

    The same bytes as by `train_here`.

    Raises:
        TrainingError: as `Workers.wait`.
    """
    with Torchrun(run, spec) as workers:
        return workers.wait(watch)
