"""Run a job as a process of its own on this machine, yielding to the gateway by its priority."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from freehold.domain.errors import FreeholdError

NICENESS = 10
_GRACE_SECONDS = 5.0


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
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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
