"""A changed configuration file: in force in every worker, without a connection dropped or an answer cut."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_fixtures import EVENTS, JSON_ANSWER, SSE_HEAD, Request, Scripted, answering, chunk, plain
from gateway_process import GatewayProcess, last_not
from waiting import wait_for
from wire import Wire, ask, body_for, post

CONFIG = """
data_dir = "data"
[gateway]
port = 0
{gateway}
[upstreams.main]
base_url = "{url}"
retries = 0
"""
NEW_ANSWER = JSON_ANSWER.replace(b"caf\xc3\xa9", b"new")
PLAIN = post(body_for("m", "n"))
SECONDS = 2.0


class Slow:
    """Streams its first event, and the rest when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.loop = asyncio.get_running_loop()
        if b'"stream":true' not in request.body.replace(b" ", b""):
            writer.write(plain())
            return
        writer.write(SSE_HEAD + chunk(EVENTS[0]))
        await writer.drain()
        await self.go.wait()
        writer.write(b"".join(chunk(event) for event in EVENTS[1:]) + chunk(b""))

    def release(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.go.set)


class Running:
    def __init__(self, folder: Path, workers: int) -> None:
        self.path = folder / "freehold.toml"
        self.slow = Slow()
        self.old, self.new = Scripted(self.slow), Scripted(answering(plain(NEW_ANSWER)))
        self.write(self.old)
        self.gateway = GatewayProcess(folder, workers=workers)

    def write(self, upstream: Scripted, gateway: str = "") -> None:
        self.path.write_text(CONFIG.format(url=upstream.base_url, gateway=gateway))

    def everywhere(self, condition: Callable[[], bool]) -> float:
        """Wait until all workers do so; returns after how many seconds one last did not."""
        return last_not(condition)

    def answered(self) -> bytes:
        return ask(self.gateway.url, PLAIN).body

    def close(self) -> None:
        self.old.stop()
        self.new.stop()


def connections_to(upstream: Scripted) -> int:
    """Established connections to an upstream."""
    port = f"{int(upstream.base_url.rpartition(':')[2].partition('/')[0]):04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(fields[2].endswith(f":{port}") and fields[3] == "01" for fields in lines)


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path, request.param)
    try:
        with made.gateway:
            yield made
    finally:
        made.close()


def test_new_requests_follow_the_file_while_streams_and_connections_live_on(run: Running) -> None:
    with Wire(run.gateway.url) as stream, Wire(run.gateway.url) as kept:
        assert kept.ask(PLAIN).body == JSON_ANSWER
        stream.send(post(body_for("m", "s", stream=True)))
        stream.until(b"chat.completion.chunk")
        run.write(run.new)
        assert run.everywhere(lambda: run.answered() == NEW_ANSWER) < SECONDS
        again = kept.ask(PLAIN)
        assert again.body == NEW_ANSWER and again.whole, "the caller's connection was kept"
        run.slow.release()
        rest = stream.answer()
        assert rest.whole and rest.body == b"".join(EVENTS)
        wait_for(lambda: connections_to(run.old) == 0, what="old connections are closed once they are idle")
        assert connections_to(run.new) > 0
    assert all(trace.error is None for trace in run.gateway.traces())


def test_a_broken_file_changes_nothing_and_is_said_until_it_is_mended(run: Running) -> None:
    run.path.write_text("[gateway")
    run.everywhere(lambda: any("not valid TOML" in sentence for sentence in run.gateway.degraded()))
    assert run.answered() == JSON_ANSWER
    run.path.write_text(CONFIG.format(url=run.new.base_url, gateway="") + 'api_key_env = "NO_SUCH_KEY"\n')
    run.everywhere(lambda: any("NO_SUCH_KEY" in sentence for sentence in run.gateway.degraded()))
    assert run.answered() == JSON_ANSWER
    run.write(run.new, "workers = 3")
    run.everywhere(lambda: run.answered() == NEW_ANSWER)
    run.everywhere(lambda: any("gateway.workers" in sentence for sentence in run.gateway.degraded()))
    run.write(run.new)
    run.everywhere(lambda: run.gateway.degraded() == [])


def test_sighup_reads_the_file_at_once_and_ends_nothing(run: Running) -> None:
    before = run.gateway.workers()
    run.write(run.new, "max_body_bytes = 500")
    run.gateway.process.send_signal(signal.SIGHUP)
    run.everywhere(lambda: ask(run.gateway.url, post(body_for("m", "n", size=600))).status == 413)
    assert run.answered() == NEW_ANSWER and run.gateway.workers() == before


def test_a_worker_that_dies_while_the_file_is_broken_comes_back_with_what_was_in_force(tmp_path: Path) -> None:
    run = Running(tmp_path, 2)
    try:
        with run.gateway:
            run.write(run.new)
            run.everywhere(lambda: run.answered() == NEW_ANSWER)
            run.path.write_text("[gateway")
            run.everywhere(lambda: len(run.gateway.degraded()) == 1)
            first = run.gateway.workers()
            os.kill(first[0], signal.SIGKILL)
            wait_for(lambda: len(set(run.gateway.workers()) - set(first)) == 1, 20)
            run.everywhere(lambda: run.answered() == NEW_ANSWER and len(run.gateway.degraded()) == 1)
            assert run.gateway.process.poll() is None
    finally:
        run.close()
