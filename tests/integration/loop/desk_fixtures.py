"""A data folder with a configuration file and recorded traffic, for the loop's real processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.config import Settings, load_settings
from freehold.demo.grammar import SupportDesk
from freehold.demo.incumbent import incumbent_answers
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.traces import Trace
from freehold.store import Store

CONFIG = """
data_dir = "data"
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
[loop]
epsilon = 0.1
delta = 0.1
min_samples = 400
interval_seconds = 0.1
audit_rate = 0.3
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


class Office:
    """A folder with `freehold.toml`, its store, and what callers sent."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "freehold.toml"
        self.config.write_text(CONFIG)
        self.settings: Settings = load_settings(self.config)
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self._journal = self.store.open_journal()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.task = ""

    def send(self, seed: int, n: int, system: str = "Is it urgent? Answer yes or no.") -> None:
        """Record `n` requests that the incumbent answered; the same seed gives the same requests and trace ids."""
        messages = list(SupportDesk(seed).messages("urgency", n))
        for number, (message, answer) in enumerate(zip(messages, incumbent_answers(messages, seed), strict=True)):
            self.append(f"{seed}/{number}", system, message.user, answer)

    def append(self, name: str, system: str, user: str, answer: str, **changes: object) -> Trace:
        """Record one request; its id is made of `name`."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = json.dumps({"model": "gpt", "messages": messages}).encode()
        fingerprint = shape_of(parse_chat(body)).fingerprint
        self.task = task_id_of_fingerprint(fingerprint)
        choice = {"message": {"content": answer}, "finish_reason": "stop"}
        fields: dict[str, object] = {
            "trace_id": "tr_" + hashlib.sha256(name.encode()).hexdigest()[:28],
            "at_ns": time.time_ns(),
            "task": self.task,
            "fingerprint": fingerprint,
            "model": "gpt",
            "answered_by": "inc/gpt",
            "reason": "no-rung",
            "status": 200,
            "request": body,
            "response": json.dumps({"choices": [choice]}).encode(),
        }
        trace = Trace(**{**fields, **changes})  # type: ignore[arg-type]
        self._journal.append(trace)
        return trace

    def start(self, code: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python process that runs `code`; ended with the office."""
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **ONE_THREAD},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End what was started."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._journal.close()
        self.store.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An office of its own."""
    made = Office(tmp_path)
    yield made
    made.close()
