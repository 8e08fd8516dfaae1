"""Start the workers of a run on this machine, watch them, and tell once what went wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from freehold.domain.errors import TrainingError
from freehold.train.generative.spec import FAILURE, PROGRESS, RESULT, Failure, Fit, Spec, read_json
from freehold.train.progress import Progress

_LOOK_SECONDS = 0.2
_MEETING = "meeting"
_GRACE_SECONDS = 5.0
_LAST_CHARACTERS = 600
_OUT_OF_MEMORY_SIGNAL = -signal.SIGKILL


class Workers:
    """The processes of one run. They end when this process does, or when the block is left."""

    def __init__(self, run: Path, spec: Spec) -> None:
        self._run, self._spec = run, spec
        for name in (FAILURE, PROGRESS, RESULT, _MEETING):
            (run / name).unlink(missing_ok=True)
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        told = self._spec.recipe
        size = 1 if told.method == "dpo" else told.run.workers
        try:
            for rank in range(size):
                self._processes.append(self._start(rank, size))
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

    def _start(self, rank: int, size: int) -> subprocess.Popen[bytes]:
        told = self._spec.recipe.run
        environment = {
            **os.environ,
            **(self._place(rank, size) if size > 1 else {}),
            "FREEHOLD_TIED": "1",
            "OMP_NUM_THREADS": str(told.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "GLOO_SOCKET_IFNAME": "lo" if sys.platform.startswith("linux") else "lo0",
        }
        command = [sys.executable, "-m", "freehold.train.generative.worker", "--run", str(self._run)]
        with self._log(rank).open("wb") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def _place(self, rank: int, size: int) -> dict[str, str]:
        """As torchrun says it, but that workers meet by a file."""
        meeting = str(self._run / _MEETING)
        return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "FREEHOLD_MEETING": meeting}

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

    def _log(self, rank: int) -> Path:
        return self._run / f"worker-{rank}.log"
