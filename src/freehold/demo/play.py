"""Play the support desk's traffic against the real gateway and loop, in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

from freehold.demo.grammar import Message, chat_request, traffic
from freehold.demo.incumbent import incumbent_answers
from freehold.demo.plays import CLASSICAL, Play
from freehold.demo.result import Tally
from freehold.domain.chat import instructions, parse_chat
from freehold.domain.errors import FreeholdError
from freehold.domain.fingerprint import task_id_of_name
from freehold.runners import end_process
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.http import HttpUpstream
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers

MODEL = "frontier-stand-in"
CONCURRENCY = 16
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
{settings}"""


class Traffic:
    """What the desk's customers write: as it is before the change, and as it is after it, place by place."""

    def __init__(self, seed: int, requests: int, play: Play = CLASSICAL) -> None:
        self.seed = seed
        self.play = play
        self.before = traffic(seed, requests, play.mix)
        drift = play.drift
        self.after = traffic(seed, requests, play.mix, drift_task=drift.task, drift_at=0.0) if drift else self.before

    def __len__(self) -> int:
        return len(self.before)


def stand_in(played: Traffic) -> RecordedAnswers:
    """The incumbent: an answer recorded for every message that may be sent, about 2% of them wrong."""
    drifted = played.play.drift.task if played.play.drift else ""
    messages = [*played.before, *(message for message in played.after if message.task == drifted)]
    rows: list[RecordedAnswer] = []
    for message, answer in zip(messages, incumbent_answers(messages, played.seed), strict=True):
        request = parse_chat(json.dumps(chat_request(message, MODEL)).encode())
        rows.append(
            RecordedAnswer(prompt=message.user, response=answer, model=MODEL, instructions=instructions(request))
        )
    return RecordedAnswers(rows)


def require(play: Play) -> None:
    """Raises FreeholdError where a library is missing that the play cannot do without."""
    missing = [name for name in play.imports if importlib.util.find_spec(name) is None]
    if missing:
        raise FreeholdError(
            f"This demo trains language models, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed.",
            "Run `pip install 'freehold[train]'`; without a GPU run `pip install torch==2.13.0 --index-url "
            "https://download.pytorch.org/whl/cpu` before it.",
        )


def write_config(folder: Path, base_url: str, play: Play = CLASSICAL) -> Path:
    """The configuration of the demo's gateway and loop, and what it speaks of."""
    path = folder / "freehold.toml"
    text = _CONFIG.format(base_url=base_url, model=MODEL, settings=play.write_settings(folder))
    path.write_text(text, encoding="utf-8")
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
    """Sends the messages in order, those of the record at once and the others evenly, and counts what comes back.

    Args:
        url: the gateway's address.
        played: the traffic.
        seconds: when the last is due; where the machine is too slow for that, what is left is not sent.
        on_progress: called about ten times a second.
    """

    def __init__(self, url: str, played: Traffic, seconds: float, on_progress: Callable[[Tally], None]) -> None:
        self.tally = Tally()
        self._gateway = HttpUpstream("gateway", f"{url}/v1")
        self._played = played
        self._seconds = seconds
        self._on_progress = on_progress
        self._at_once = round(played.play.at_once * len(played))
        self._paced_from: float | None = None

    async def play(self) -> Tally:
        """Send everything that fits into the time; returns the counts."""
        started = time.monotonic()
        waiting = iter(range(len(self._played)))

        async def caller() -> None:
            for number in waiting:
                now = time.monotonic() - started
                if now > self._seconds * 1.1:
                    return
                await asyncio.sleep(max(0.0, self._due(number, now) - now))
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

    def _due(self, number: int, now: float) -> float:
        """When a message is to be sent, in seconds from the start."""
        if number < self._at_once:
            return now
        if self._paced_from is None:
            self._paced_from = now
        left = max(0.0, self._seconds - self._paced_from) / (len(self._played) - self._at_once)
        return self._paced_from + (number - self._at_once) * left

    def _message(self, number: int) -> Message:
        """The next message; decides, once, that the traffic changes from here on."""
        drift = self._played.play.drift
        if drift and self.tally.drift_at is None and number >= drift.at * len(self._played):
            enough = self.tally.owned[drift.task] >= drift.after
            self.tally.drift_at = number if enough else None
        return (self._played.before if self.tally.drift_at is None else self._played.after)[number]

    async def _ask(self, message: Message) -> None:
        headers = [(b"content-type", b"application/json")]
        if self._played.play.named:
            headers.append((b"x-freehold-task", message.task.encode()))
        body = json.dumps(chat_request(message, MODEL)).encode()
        request = UpstreamRequest(method=b"POST", path=b"/chat/completions", headers=headers, body=body)
        began = time.monotonic()
        response = await self._gateway.send(request)
        parts: list[bytes] = []
        while piece := await response.read():
            parts.append(piece)
        if response.status != 200:
            self.tally.failed += 1
            return
        seconds = time.monotonic() - began
        said = dict(response.headers)
        answer = json.loads(b"".join(parts))["choices"][0]["message"]["content"]
        owned = said[b"x-freehold-answered-by"].startswith(b"student/")
        task = said[b"x-freehold-task"].decode()
        task_id = task_id_of_name(task) if self._played.play.named else task
        self.tally.add(message, answer, owned=owned, task_id=task_id, seconds=seconds)
