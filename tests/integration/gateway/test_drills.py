"""An exit drill in two workers: who answers, what is said and recorded, who is let through, and that it is over."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fixtures import JSON_ANSWER, SSE_HEAD, Request, Scripted, answering, chunk, plain
from gateway_process import FREEHOLD, GatewayProcess, last_not
from waiting import wait_for
from wire import Answer, ask, post

from freehold.config import load_settings
from freehold.domain.drills import Drill
from freehold.loop.drills import begin_drill, settle_drills, stop_drill
from freehold.store import Store

CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.main]
base_url = "{main}"
retries = 0
[upstreams.own]
base_url = "{own}"
retries = 0
owned = true
keyless = true
models = ["llama"]
[drill]
stand_in = "llama"
"""
OWNED = JSON_ANSWER.replace(b"caf\xc3\xa9", b"caf\xc3\xa9s")
SECONDS = 2.0
"""Workers follow within so long."""


def body(text: str = "hi", **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()


async def own(request: Request, writer: asyncio.StreamWriter) -> None:
    """An owned server: streams where a stream is wanted, and has no tools."""
    asked = json.loads(request.body)
    if "tools" in asked:
        writer.write(plain(b'{"error":{"message":"no tools"}}', "400 Bad Request"))
    elif asked.get("stream"):
        writer.write(SSE_HEAD + chunk(b'data: {"choices":[]}\n\ndata: [DONE]\n\n') + chunk(b""))
    else:
        writer.write(plain(OWNED))
    await writer.drain()


class Running:
    """Two workers before a provider and an owned server."""

    def __init__(self, folder: Path, provider: Scripted, owned: Scripted) -> None:
        self.provider, self.owned = provider, owned
        path = folder / "freehold.toml"
        path.write_text(CONFIG.format(main=provider.base_url, own=owned.base_url))
        self.settings = load_settings(path)
        self.gateway = GatewayProcess(folder, workers=2)
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.config = path

    def ask(self, sent: bytes | None = None, path: str = "/v1/chat/completions", **headers: str) -> Answer:
        """One request on a connection of its own, so that either worker may get it."""
        return ask(self.gateway.url, post(sent or body(), path, authorization="Bearer sk-caller", **headers))

    def everywhere(self, condition: Callable[[Answer], bool]) -> float:
        """Wait until both workers answer so; returns after how many seconds one last did not."""
        return last_not(lambda: condition(self.ask()))

    def begin(self, seconds: float = 60, **more: Any) -> Drill:
        """Begin a drill and wait until all workers follow it."""
        drill = begin_drill(self.store, self.settings, ("main",), seconds, time.time_ns(), **more)
        assert self.everywhere(lambda answer: "x-freehold-drill" in answer.headers) < SECONDS
        return drill

    def stop(self) -> Drill:
        """Stop the drill, wait until no worker follows it, and make its report."""
        drill = stop_drill(self.store, time.time_ns())
        assert self.everywhere(lambda answer: "x-freehold-drill" not in answer.headers) < SECONDS
        settle_drills(self.store, self.settings, time.time_ns() + 10**11)
        found = self.store.control.drills.get(drill.drill_id)
        assert found is not None
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    with Scripted(answering(plain())) as provider, Scripted(own) as owned:
        made = Running(tmp_path, provider, owned)
        with made.gateway:
            yield made
        made.store.close()


def test_requests_go_to_what_is_owned_and_come_back(run: Running) -> None:
    assert run.ask().body == JSON_ANSWER
    drill = run.begin()
    assert json.loads(run.gateway.get("/readyz")[1])["drill"] == drill.drill_id
    asked = len(run.provider.requests)
    answer = run.ask()
    assert (answer.status, answer.body) == (200, OWNED)
    assert answer.headers["x-freehold-drill"] == drill.drill_id
    assert answer.headers["x-freehold-answered-by"] == "own/llama"
    sent = run.owned.requests[-1]
    assert json.loads(sent.body) == {**json.loads(body()), "model": "llama"}
    assert "authorization" not in sent.headers, "the caller's key is for the provider alone"
    streamed = run.ask(body(stream=True))
    assert streamed.status == 200 and streamed.body.endswith(b"data: [DONE]\n\n") and streamed.whole
    assert len(run.provider.requests) == asked
    report = run.stop().report
    assert run.ask().body == JSON_ANSWER and len(run.provider.requests) > asked
    assert "drill" not in json.loads(run.gateway.get("/readyz")[1])
    assert report is not None and report.outcomes["stand-in"] == report.kept >= 26
    assert not report.outcomes.get("failed") and report.during is not None and report.before is not None
    drilled = [trace for trace in run.gateway.traces() if trace.reason == "drill"]
    assert all(trace.owned and trace.certificate is None and not trace.audited for trace in drilled)


def test_what_nothing_owned_can_do_fails_and_says_so_unless_it_is_spared(run: Running) -> None:
    run.begin()
    vector = b'{"model":"m","input":"x"}'
    refused = run.ask(vector, "/v1/embeddings")
    error = json.loads(refused.body)["error"]
    assert refused.status == 503 and error["code"] == "drill" and "Vectors" in error["message"]
    assert "x-freehold-pin" in error["message"] and "x-freehold-drill" in refused.headers
    refused = run.ask(b'{"model":"m","voice":"x"}', "/v1/audio/speech")
    assert refused.status == 503 and json.loads(refused.body)["error"]["code"] == "drill"
    tools = run.ask(body(tools=[{"type": "function", "function": {"name": "f"}}]))
    assert tools.status == 400 and tools.headers["x-freehold-drill"]
    pinned = run.ask(vector, "/v1/embeddings", x_freehold_pin="incumbent")
    assert (pinned.status, pinned.body) == (200, JSON_ANSWER) and "x-freehold-drill" not in pinned.headers
    report = run.stop().report
    assert report is not None and (report.outcomes["failed"], report.outcomes["pinned"]) == (3, 1)
    assert report.unable["embeddings"] == 1 and report.unable["tools"] == 1
    run.begin(spare=True)
    spared = run.ask(vector, "/v1/embeddings")
    assert (spared.status, spared.body) == (200, JSON_ANSWER) and "x-freehold-drill" in spared.headers
    report = run.stop().report
    assert report is not None and (report.outcomes["spared"], report.outcomes.get("failed", 0)) == (1, 0)


def test_a_share_is_rerouted_and_answers_are_compared(run: Running) -> None:
    begin_drill(run.store, run.settings, ("main",), 60, time.time_ns(), share=0.5, compare=1.0)
    before = len(run.gateway.traces())
    drilled = 0

    def half_are_drilled() -> bool:  # once both workers know of it
        nonlocal drilled
        answers = [run.ask() for _ in range(60)]
        assert {answer.status for answer in answers} == {200}
        drilled = sum("x-freehold-drill" in answer.headers for answer in answers)
        return 10 < drilled < 50

    wait_for(half_are_drilled)
    wait_for(lambda: sum(trace.kind == "drill" for trace in run.gateway.traces()[before:]) >= drilled)
    report = run.stop().report
    assert report is not None and report.outcomes["outside"] >= 10
    [compared] = report.compared
    assert compared.pairs >= drilled and compared.same == 0 and 0.3 < compared.likeness < 1.0


def test_a_drill_ends_by_itself_when_its_command_is_killed(run: Running) -> None:
    command = [*FREEHOLD, "drill", "--without", "main", "--for", "3s", "--config", str(run.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run.everywhere(lambda answer: "x-freehold-drill" in answer.headers)
    process.kill()
    process.wait(10)
    run.everywhere(lambda answer: "x-freehold-drill" not in answer.headers)
    assert run.ask().body == JSON_ANSWER
    [drill] = run.store.control.drills.list()
    assert drill.state == "running", "nobody has looked yet"
    settle_drills(run.store, run.settings, time.time_ns() + 10**11)
    [drill] = run.store.control.drills.list()
    assert drill.state == "ended" and drill.report is not None and 2.9 < drill.report.seconds < 3.1


def test_a_signal_ends_the_command_and_its_drill_with_a_report(run: Running) -> None:
    command = [*FREEHOLD, "drill", "--without", "main", "--for", "1h", "--json", "--config", str(run.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        run.everywhere(lambda answer: "x-freehold-drill" in answer.headers)
        process.send_signal(signal.SIGINT)
        assert run.everywhere(lambda answer: "x-freehold-drill" not in answer.headers) < SECONDS
        out, _ = process.communicate(timeout=60)
    found = json.loads(out)
    assert process.returncode == 0 and found["state"] == "stopped" and found["started_by"]
    assert found["report"]["outcomes"]["stand-in"] >= 24
    assert "instead of the 3600 s" in found["report"]["notes"][0]
