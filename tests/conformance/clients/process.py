"""A client in a process of its own, asked line by line: Node's libraries, and LiteLLM with its older `openai`."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cases import INPUTS, Outcome

SECONDS = 60.0
"""What one answer may take, the start of the process included."""


class Child:
    """The process: a line with a question in, a line with an answer out."""

    def __init__(self, command: Sequence[str], folder: Path, environment: dict[str, str], url: str) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._tell({"url": url, "inputs": INPUTS})

    def ask(self, **question: object) -> Any:
        """The answer to a question; an error of the child's own fails the test that asked."""
        with self._lock:
            self._tell(question)
            watchdog = threading.Timer(SECONDS, self._process.kill)
            watchdog.start()
            assert self._process.stdout is not None
            try:
                line = self._process.stdout.readline()
            finally:
                watchdog.cancel()
        assert line, f"The client's process ended or took more than {SECONDS} s over {question}."
        found = json.loads(line)
        assert "broken" not in found, found["broken"]
        return found

    def stop(self) -> None:
        """End it: it ends when its input does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()


class Remote:
    """One of the clients in a `Child`, as a `Client`."""

    def __init__(self, child: Child, client: str) -> None:
        self._child, self._client = child, client

    def ask(self, feature: str, stream: bool) -> Outcome:
        found = self._child.ask(client=self._client, feature=feature, stream=stream)
        assert "failed" not in found, found
        return found["outcome"]

    def fail(self, status: int, stream: bool) -> Outcome:
        found = self._child.ask(client=self._client, feature=f"error {status}", stream=stream)
        assert "failed" in found, "it did not fail"
        return found["failed"]
