"""Play the support desk's traffic against the real gateway and loop, in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

from freehold.demo.grammar import Message, chat_request, traffic
from freehold.demo.incumbent import incumbent_answers
from freehold.demo.result import Tally
from freehold.domain.chat import instructions, parse_chat
from freehold.domain.errors import FreeholdError
from freehold.runners import end_process
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.http import HttpUpstream
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers

MODEL = "frontier-stand-in"
EPSILON = 0.05
CONCURRENCY = 16
DRIFT_TASK = "urgency"
DRIFT_AT = 0.5
"""The traffic of that task changes at this share of the run."""
DRIFT_AFTER = 150
"""But not before its student has given so many answers: there must be something that can decay."""
MIX = {"triage": 0.29, "urgency": 0.33, "extraction": 0.27, "reply": 0.11}
"""Share of each task in the traffic."""
_STOP_SECONDS = 20.0
_CONFIG = """# Written by `freehold demo`.
data_dir = "data"

[gateway]
port = 0

# The incumbent is a stand-in: it replays answers that the demo's grammar wrote, 2% of them wrong on purpose. Nobody's
# terms bind them, so they count as our own; the price is a frontier model's, to show what it would cost.
[upstreams.stand-in]
base_url = "{base_url}"
terms = "own"
prices = {{ "{model}" = {{ input = 2.5, output = 10.0 }} }}

[loop]
epsilon = {epsilon}
min_samples = 900
growth = 1.4
interval_seconds = 0.5
"""


class Traffic:
    """What the desk's customers write: as it is before the change, and as it is after it, place by place."""

    def __init__(self, seed: int, requests: int) -> None:
        self.seed = seed
        self.before = traffic(seed, requests, MIX)
        self.after = traffic(seed, requests, MIX, drift_task=DRIFT_TASK, drift_at=0.0)

    def __len__(self) -> int:
        return len(self.before)


def stand_in(played: Traffic) -> RecordedAnswers:
    """The incumbent: an answer recorded for every message that may be sent, about 2% of them wrong."""
    messages = [*played.before, *(message for message in played.after if message.task == DRIFT_TASK)]
    rows: list[RecordedAnswer] = []
    for message, answer in zip(messages, incumbent_answers(messages, played.seed), strict=True):
        request = parse_chat(json.dumps(chat_request(message, MODEL)).encode())
        rows.append(
            RecordedAnswer(prompt=message.user, response=answer, model=MODEL, instructions=instructions(request))
        )
    return RecordedAnswers(rows)


def write_config(folder: Path, base_url: str) -> Path:
    """The configuration of the demo's gateway and loop."""
    path = folder / "freehold.toml"
    path.write_text(_CONFIG.format(base_url=base_url, model=MODEL, epsilon=EPSILON), encoding="utf-8")
    return path


@contextlib.contextmanager
def freehold_up(config: Path) -> Generator[str, None, None]:
    """`freehold up` in a process of its own; yields its address. Its log is `freehold.log` beside the configuration.

    Raises:
        FreeholdError: it ended before it listened.
    """
    command = [sys.executable, "-m", "freehold.cli.main", "up", "--config", str(config), "--log-level", "warning"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (config.parent / "freehold.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                raise FreeholdError("The demo's gateway did not start.", f"See {config.parent / 'freehold.log'}.")
            yield line.split()[3].rstrip(":")
        finally:
            end_process(child, _STOP_SECONDS)


class Player:
    """Sends the messages in order, evenly over a stretch of time, and counts what comes back.

    Args:
        url: the gateway's address.
        played: the traffic.
        seconds: over which to spread it; where the machine is too slow for that, what is left is not sent.
        on_progress: called about ten times a second.
    """

    def __init__(self, url: str, played: Traffic, seconds: float, on_progress: Callable[[Tally], None]) -> None:
        self.tally = Tally()
        self._gateway = HttpUpstream("gateway", f"{url}/v1")
        self._played = played
        self._seconds = seconds
        self._on_progress = on_progress

    async def play(self) -> Tally:
        """Send everything that fits into the time; returns the counts."""
        started = time.monotonic()
        waiting = iter(range(len(self._played)))
        pace = self._seconds / len(self._played)

        async def caller() -> None:
            for number in waiting:
                now = time.monotonic() - started
                if now > self._seconds * 1.1:
                    return
                await asyncio.sleep(max(0.0, number * pace - now))
                await self._ask(self._message(number))

        async def watcher() -> None:
            while True:
                self._on_progress(self.tally)
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watcher())
        try:
            await asyncio.gather(*(caller() for _ in range(CONCURRENCY)))
        finally:
            watching.cancel()
            await self._gateway.aclose()
        self._on_progress(self.tally)
        return self.tally

    def _message(self, number: int) -> Message:
        """The next message; decides, once, that the traffic changes from here on."""
        half_way = number >= DRIFT_AT * len(self._played)
        if self.tally.drift_at is None and half_way and self.tally.owned[DRIFT_TASK] >= DRIFT_AFTER:
            self.tally.drift_at = number
        return (self._played.before if self.tally.drift_at is None else self._played.after)[number]

    async def _ask(self, message: Message) -> None:
        request = UpstreamRequest(
            method=b"POST",
            path=b"/chat/completions",
            headers=[(b"content-type", b"application/json")],
            body=json.dumps(chat_request(message, MODEL)).encode(),
        )
        response = await self._gateway.send(request)
        parts: list[bytes] = []
        while piece := await response.read():
            parts.append(piece)
        if response.status != 200:
            self.tally.failed += 1
            return
        headers = dict(response.headers)
        answer = json.loads(b"".join(parts))["choices"][0]["message"]["content"]
        owned = headers[b"x-freehold-answered-by"].startswith(b"student/")
        self.tally.add(message, answer, owned=owned, task_id=headers[b"x-freehold-task"].decode())
