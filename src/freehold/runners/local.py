"""Run a job as a process of its own on this machine, yielding to the gateway by its priority."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from freehold.domain.errors import FreeholdError

NICENESS = 10
_GRACE_SECONDS = 5.0


def end_process(process: subprocess.Popen[Any], grace_seconds: float = _GRACE_SECONDS) -> None:
    """Ask a process to end, kill it if it does not within `grace_seconds`, and wait until it is gone."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class LocalProcess:
    """A child process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end; kill it if it does not within five seconds."""
        end_process(self._process)


class LocalRunner:
    """Starts processes on this machine, at a lower priority and with one thread per numeric library.

    One thread gives the same bytes on every run, and leaves the other cores to the traffic.
    """

    def start(self, command: Sequence[str]) -> LocalProcess:
        """Start `command`; its output goes where this process's goes.

        Raises:
            FreeholdError: the program cannot be started.
        """
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        prefix = ["nice", "-n", str(NICENESS)]
        try:
            return LocalProcess(subprocess.Popen([*prefix, *command], env=environment, stdin=subprocess.DEVNULL))
        except OSError as error:
            raise FreeholdError(
                f"The job {command[0]} cannot be started: {error.strerror}.", "Check memory and the Python install."
            ) from error
