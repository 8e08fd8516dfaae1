"""The loop asks a judge through a real upstream, on event loops that come and go, and never waits for long."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from freehold.config import Settings, UpstreamSettings
from freehold.domain.errors import ModelNotFound, UpstreamError, UpstreamTimeout
from freehold.loop import asking

AWAKE = threading.Event()


class Judge(BaseHTTPRequestHandler):
    """Says what it was asked; refuses `no`; sleeps until `AWAKE` where the model is `slow`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "slow":
            AWAKE.wait(20)
        text = f"{asked['model']} heard {asked['messages'][0]['content']}"
        body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
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
    yield Settings(upstreams={"judges": UpstreamSettings(base_url=address, models=("quick", "slow", "no"))})
    AWAKE.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_judge_is_asked_on_any_event_loop_and_given_up_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asking.ask_in_time(settings)

    async def heard(model: str, messages: list[dict[str, str]]) -> str:
        return await ask(model, messages)

    async def several() -> list[str]:
        return await asyncio.gather(*(ask("quick", [{"role": "user", "content": str(n)}]) for n in range(3)))

    assert asyncio.run(several()) == asyncio.run(several()) == [f"quick heard {n}" for n in range(3)]
    with pytest.raises(UpstreamError, match="no answer"):
        asyncio.run(heard("no", [{"role": "user", "content": "?"}]))
    with pytest.raises(ModelNotFound):
        asyncio.run(heard("unknown", [{"role": "user", "content": "?"}]))
    monkeypatch.setattr(asking, "SECONDS", 0.3)
    with pytest.raises(UpstreamTimeout, match="slow"):
        asyncio.run(heard("slow", [{"role": "user", "content": "?"}]))
