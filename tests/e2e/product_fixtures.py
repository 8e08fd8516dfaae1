"""The product as its users run it: `freehold` commands as processes, an incumbent on loopback, callers in threads.

`recorded` is a data folder with traffic but nothing learned; `owned` one with a student in force. Both are made once,
by the product itself, and copied for every test.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from waiting import wait_for

from freehold.config import load_settings
from freehold.demo.grammar import Message, SupportDesk, chat_request
from freehold.demo.incumbent import incumbent_answers
from freehold.domain.chat import instructions, parse_chat
from freehold.domain.events import Event, EventKind
from freehold.domain.policy import Rung
from freehold.domain.tasks import Task
from freehold.record.derive import Deriver
from freehold.store import Store
from freehold.store.traces.read import read_traces
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers, serve_in_thread

MODEL = "rented-1"
LEARNED = 900
"""Requests that are enough, with this seed, for the urgency task to be certified at ε = 0.1."""
BIG_PROMPT = "Is this long?"
CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.rented]
base_url = "{base_url}"
terms = "own"
prices = {{ "*" = {{ input = 2.5, output = 10.0 }} }}
[loop]
epsilon = 0.1
delta = 0.1
audit_rate = 0.5
min_samples = 600
growth = 1.2
interval_seconds = 0.2
"""
FREEHOLD = [sys.executable, "-m", "freehold.cli.main"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


class Answer(NamedTuple):
    """What a caller got."""

    status: int
    headers: dict[str, str]
    text: str
    asked_ns: int

    @property
    def trace(self) -> str:
        return self.headers["x-freehold-trace"]

    @property
    def owned(self) -> bool:
        return self.headers["x-freehold-answered-by"].startswith("student/")


class Desk:
    """The traffic, and the rented model that answers it."""

    def __init__(self) -> None:
        desk = SupportDesk(1)
        self.before = list(desk.messages("urgency", 2500))
        self.drifted = list(desk.messages("urgency", 1500, drifted=True))
        self.replies = list(desk.messages("reply", 80))
        rows = [self._row(m, a) for m, a in self._answered()]
        rows.append(RecordedAnswer(prompt=BIG_PROMPT, response="no", model=MODEL))
        self.server = serve_in_thread(RecordedAnswers(rows))
        self.answers = {m.user: a for m, a in self._answered()}

    def _answered(self) -> Iterable[tuple[Message, str]]:
        messages = [*self.before, *self.drifted, *self.replies]
        return zip(messages, incumbent_answers(messages, 1), strict=True)

    def _row(self, message: Message, answer: str) -> RecordedAnswer:
        request = parse_chat(body_of(message))
        return RecordedAnswer(prompt=message.user, response=answer, model=MODEL, instructions=instructions(request))


def body_of(message: Message) -> bytes:
    return json.dumps(chat_request(message, MODEL)).encode()


def big_body(characters: int) -> bytes:
    """A request that does not compress."""
    system = os.urandom(characters // 2).hex()
    messages = [{"role": "system", "content": system}, {"role": "user", "content": BIG_PROMPT}]
    return json.dumps({"model": MODEL, "messages": messages}).encode()


def ask(url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    asked_ns = time.time_ns()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(
            "POST", "/v1/chat/completions", body, {"content-type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        text = json.loads(content)["choices"][0]["message"]["content"] if response.status == 200 else content.decode()
        return Answer(response.status, found, text, asked_ns)
    finally:
        connection.close()


def ask_all(url: str, messages: Sequence[Message], headers: dict[str, str] | None = None) -> list[Answer]:
    """All of them, eight at a time; in order."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda message: ask(url, body_of(message), headers), messages))


def get(url: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Command(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one document."""
        return json.loads(self.out)


def freehold(folder: Path, *arguments: str) -> Command:
    """Run a command to its end on the configuration in `folder`."""
    command = [*FREEHOLD, *arguments, "--config", str(folder / "freehold.toml")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    return Command(done.returncode, done.stdout, done.stderr)


def processes() -> dict[int, tuple[int, str]]:
    """Process id → its parent and its command line; those that have ended and await their parent are left out."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if state not in "ZX":
                found[int(entry.name)] = (int(parent), line)
    return found


class Product:
    """`freehold up` (or `serve`) in a process of its own."""

    def __init__(self, folder: Path, *, workers: int = 1, command: str = "up") -> None:
        self.folder = folder
        self.log = folder / "freehold.log"
        line = [*FREEHOLD, command, "--json", "--workers", str(workers), "--config", str(folder / "freehold.toml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT)
        assert self.process.stdout is not None
        listening = self.process.stdout.readline()
        assert listening, self.log.read_text()
        self.url: str = json.loads(listening)["url"]
        wait_for(self._answers, 30, "the gateway answers")

    def _answers(self) -> bool:
        try:
            return get(self.url, "/readyz")[0] == 200
        except OSError:
            return False

    def family(self) -> dict[int, str]:
        """Its living descendants: process id → command line."""
        known = processes()
        found: dict[int, str] = {}
        fresh = {self.process.pid}
        while fresh:
            fresh = {pid for pid, (parent, _) in known.items() if parent in fresh and pid not in found}
            found |= {pid: known[pid][1] for pid in fresh}
        return found

    def member(self, text: str) -> int | None:
        """The descendant with `text` in its command line."""
        return next((pid for pid, line in self.family().items() if text in line), None)

    def gateway_workers(self) -> list[int]:
        return [pid for pid, line in self.family().items() if "spawn_main" in line and "from multiprocessing" in line]

    def kill(self) -> dict[int, str]:
        """`kill -9` of the parent; returns who was its family."""
        family = self.family()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        return family

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *exception: object) -> None:
        family = self.family() if self.process.poll() is None else {}
        try:
            self.stop()
        finally:
            self.process.kill()
            _end([pid for pid in family if pid in processes()])


def _end(left: Iterable[int]) -> None:
    """Leave nothing behind where a test failed."""
    for pid in left:
        if "freehold" in processes().get(pid, (0, ""))[1]:
            os.kill(pid, signal.SIGKILL)


class Load:
    """Callers who never stop: acknowledged traces, and how many requests found nobody."""

    def __init__(self, product: Product, messages: Sequence[Message], callers: int = 4) -> None:
        self.url = product.url
        self.acknowledged: list[Answer] = []
        self.refused = 0
        self._messages = itertools.cycle(messages)
        self._next = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._next:
                message = next(self._messages)
            try:
                self.acknowledged.append(ask(self.url, body_of(message)))
            except (OSError, http.client.HTTPException):
                self.refused += 1
                self._stop.wait(0.05)

    def more(self, number: int, seconds: float = 20.0) -> None:
        """Wait for so many more answers."""
        target = len(self.acknowledged) + number
        wait_for(lambda: len(self.acknowledged) >= target, seconds, f"{number} more answers")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def store_of(folder: Path) -> Generator[Store]:
    """The product's store, read beside the running product: quicker than a command when something is waited for."""
    settings = load_settings(folder / "freehold.toml")
    store = Store.open(settings.data, settings.control_url)
    try:
        yield store
    finally:
        store.close()


def all_traces(folder: Path) -> list[dict[str, Any]]:
    """Every trace that is recorded, sealed or not; each row as stored (doubles would show)."""
    derive = Deriver(load_settings(folder / "freehold.toml").upstreams)
    columns = ("trace_id", "kind", "of", "task", "owned", "reason", "status")
    with store_of(folder) as store:
        return read_traces(store, columns=columns, derive=derive).to_dicts()


def events(folder: Path, *kinds: EventKind) -> list[Event]:
    """Events of these kinds, newest first."""
    with store_of(folder) as store:
        return [event for event in store.control.events(500) if event.kind in kinds]


def task_of(folder: Path) -> Task:
    """The task that can move."""
    with store_of(folder) as store:
        return next(task for task in store.control.tasks.list() if task.form and task.form.kind == "label")


def rung_of(folder: Path) -> Rung | None:
    """What is in force for it."""
    with store_of(folder) as store:
        entry = store.control.current_policy().tasks.get(task_of(folder).task_id)
        return entry.rungs[0] if entry and entry.rungs else None


@pytest.fixture(scope="session")
def desk() -> Iterator[Desk]:
    made = Desk()
    with made.server:
        yield made


@pytest.fixture(scope="session")
def recorded_once(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "freehold.toml").write_text(CONFIG.format(base_url=desk.server.base_url))
    with Product(folder, command="serve") as product:
        answers = ask_all(product.url, [*desk.before[:LEARNED], *desk.replies])
        assert [answer.status for answer in answers] == [200] * (LEARNED + len(desk.replies))
        assert not any(answer.owned for answer in answers)
    return folder


@pytest.fixture(scope="session")
def owned_once(recorded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of(recorded_once, tmp_path_factory.mktemp("owned"))
    done = freehold(folder, "loop", "--once", "--json")
    assert done.code == 0, done.err
    assert len(done.json["owned"]) == 1, done.out
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    """Another folder with the same configuration and data."""
    return Path(shutil.copytree(folder, to, dirs_exist_ok=True))


@pytest.fixture
def recorded(recorded_once: Path, tmp_path: Path) -> Path:
    """A data folder with traffic of which nothing was learned."""
    return copy_of(recorded_once, tmp_path)


@pytest.fixture
def owned(owned_once: Path, tmp_path: Path) -> Path:
    """A data folder whose urgency task a student answers."""
    return copy_of(owned_once, tmp_path)
