"""The loop asks a judge through a real upstream, on event loops that come and go, never for long, and books it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from freehold.config import Price, Settings, UpstreamSettings
from freehold.domain.errors import ModelNotFound, UpstreamError, UpstreamTimeout
from freehold.ledger import Money, ledger
from freehold.loop import asking
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces.read import read_traces

AWAKE = threading.Event()


class Judge(BaseHTTPRequestHandler):
    """Says what it was asked; refuses `no`; sleeps until `AWAKE` where the model is `slow`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "slow":
            AWAKE.wait(20)
        text = f"{asked['model']} heard {asked['messages'][0]['content']}"
        choices = [{"message": {"content": text}, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1000, "completion_tokens": 10}
        body = json.dumps({"choices": choices, "usage": usage}).encode()
        self.send_response(403 if asked["model"] == "no" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def settings() -> Iterator[Settings]:
    AWAKE.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    prices = {"*": Price(input=2.0, output=10.0)}
    yield Settings(upstreams={"judges": UpstreamSettings(address, models=("quick", "slow", "no"), prices=prices)})
    AWAKE.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")
    yield made
    made.close()


def test_a_judge_is_asked_on_any_event_loop_given_up_in_time_and_booked(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asking.asking_in_time(store, settings, "task_a") as ask:

        async def heard(model: str) -> str:
            return await ask(model, [{"role": "user", "content": "?"}])

        async def several() -> list[str]:
            return await asyncio.gather(*(ask("quick", [{"role": "user", "content": str(n)}]) for n in range(3)))

        assert asyncio.run(several()) == asyncio.run(several()) == [f"quick heard {n}" for n in range(3)]
        with pytest.raises(UpstreamError, match="status 403"):
            asyncio.run(heard("no"))
        with pytest.raises(ModelNotFound):
            asyncio.run(heard("unknown"))
        monkeypatch.setattr(asking, "SECONDS", 0.3)
        with pytest.raises(UpstreamTimeout, match="slow"):
            asyncio.run(heard("slow"))
    Sealer(store, settings.upstreams).seal_once()
    calls = read_traces(store, kinds=("judge",), columns=("task", "model", "status", "error", "cost_nanousd"))
    assert set(calls["task"]) == {"task_a"}
    found = sorted(calls.drop("task").iter_rows())
    assert found[0][:2] == ("no", 403) and found[0][3] == 0
    assert found[1:7] == [("quick", 200, None, 2_100_000)] * 6, "1,000 tokens in and 10 out"
    assert found[7][:2] == ("slow", 0) and "no answer" in found[7][2] and len(found) == 8
    assert ledger(store).total.judges == Money(measured=6 * 2_100_000)


def test_where_nothing_is_asked_nothing_is_opened(settings: Settings, store: Store) -> None:
    with asking.asking_in_time(store, settings, "task_a"):
        pass
    assert not store.journal_root.exists()
