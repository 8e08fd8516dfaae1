"""What the endurance benches share: an upstream that paces its streams, callers on kept connections, a gateway.

Everything is on loopback. The upstream and the callers are asyncio protocols on httptools, so that they cost little
beside the gateway; the answer to each request repeats its nonce, so that an answer to somebody else's would be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.mock]
base_url = "http://{address}/v1"
retries = 0
max_connections = {connections}
"""
_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CONTENT = "The order was sent on Monday and should be with you by the end of the week. " * 3


def raise_open_files() -> int:
    """Raise this process's limit of open files as far as it may; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def request_bytes(nonce: str, *, events: int = 0, interval: float = 0.0) -> bytes:
    """A chat request; with `events` a stream of so many, `interval` seconds apart."""
    body: dict[str, Any] = {
        "model": "mock-1",
        "messages": [
            {"role": "system", "content": "You answer questions about orders. " * 8},
            {"role": "user", "content": f"Where is order {nonce}? " * 4},
        ],
        "user": nonce,
    }
    if events:
        body |= {"stream": True, "events": events, "interval": interval}
    encoded = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    return b"%scontent-length: %d\r\n\r\n%s" % (head, len(encoded), encoded)


class Upstream(asyncio.Protocol):
    """Answers chat requests; streams at the pace they ask for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """See `httptools`."""
        asked = json.loads(b"".join(self._body))
        self._body.clear()
        assert self._transport is not None
        if asked.get("stream"):
            self._transport.write(_SSE)
            self._event(asked["user"], asked["events"], asked["interval"])
            return
        message = {"role": "assistant", "content": _CONTENT}
        answer = {
            "id": asked["user"],
            "object": "chat.completion",
            "created": 1,
            "model": "mock-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 50, "total_tokens": 140},
        }
        body = json.dumps(answer).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _event(self, nonce: str, left: int, interval: float) -> None:
        if self._transport is None:
            return
        if left == 0:
            self._transport.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return
        event = (
            b'data: {"id":"%s","object":"chat.completion.chunk","created":1,"model":"mock-1","choices":[{"index":0,'
            b'"delta":{"content":" word"},"finish_reason":null}]}\n\n' % nonce.encode()
        )
        self._transport.write(_chunk(event))
        self._loop.call_later(interval, self._event, nonce, left - 1, interval)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Outcome:
    """How one request went; times by `time.perf_counter`, since uvloop's clock counts milliseconds."""

    __slots__ = ("began", "body", "ended", "error", "nonce", "status", "trace")

    def __init__(self, nonce: str, began: float) -> None:
        self.nonce, self.began = nonce, began
        self.status, self.trace, self.body, self.error, self.ended = 0, "", bytearray(), "", 0.0


class Caller(asyncio.Protocol):
    """A kept connection that carries one request at a time; `then` gets each outcome."""

    def __init__(self, then: Callable[[Caller, Outcome], None]) -> None:
        self._then = then
        self._parser = httptools.HttpResponseParser(self)
        self._outcome: Outcome | None = None
        self.transport: asyncio.Transport | None = None

    def ask(self, nonce: str, *, events: int = 0, interval: float = 0.0) -> None:
        """Send a request (see `request_bytes`)."""
        assert self.transport is not None and self._outcome is None
        self._outcome = Outcome(nonce, time.perf_counter())
        self.transport.write(request_bytes(nonce, events=events, interval=interval))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.transport = None
        self._end("the connection was closed")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools`."""
        if self._outcome is not None and name.lower() == b"x-freehold-trace":
            self._outcome.trace = value.decode()

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        if self._outcome is not None:
            self._outcome.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        if self._outcome is not None:
            self._outcome.body += body

    def on_message_complete(self) -> None:
        """See `httptools`."""
        self._end("")

    def _end(self, error: str) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return
        outcome.ended = time.perf_counter()
        if not error and outcome.status != 200:
            error = f"status {outcome.status}"
        if not error and outcome.nonce.encode() not in outcome.body:
            error = "somebody else's answer"
        outcome.error = error
        self._then(self, outcome)


async def connect(url: str, then: Callable[[Caller, Outcome], None]) -> Caller:
    """A connection to the gateway at `url`."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(lambda: Caller(then), host, int(port))
    return caller


def run_upstream(listener: socket.socket) -> None:
    """Serve until killed; the body of a process of its own."""
    raise_open_files()

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Upstream(loop), sock=listener, backlog=4096)
        await server.serve_forever()

    uvloop.run(forever())


@contextlib.contextmanager
def upstream() -> Generator[str]:
    """An upstream in a process of its own; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    process: BaseProcess = get_context("spawn").Process(target=run_upstream, args=(listener,), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        process.kill()
        process.join()
        listener.close()


class Gateway:
    """`freehold serve`, one worker, recording on."""

    def __init__(self, folder: Path, address: str, connections: int) -> None:
        self.data = folder / "data"
        (folder / "freehold.toml").write_text(CONFIG.format(address=address, connections=connections))
        command = [sys.executable, "-m", "freehold.cli.main", "serve", "--json", "--log-level", "warning"]
        command += ["--config", str(folder / "freehold.toml")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        listening = self._process.stdout.readline()
        if not listening:
            raise SystemExit("The gateway did not start; it said why above.")
        self.url: str = json.loads(listening)["url"]

    def pss_mb(self) -> float:
        """Proportional set size in MB."""
        lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files_limit(self) -> str:
        """Its own limit of open files, soft / hard."""
        lines = Path(f"/proc/{self._process.pid}/limits").read_text().splitlines()
        return " / ".join(next(line.split()[3:5] for line in lines if line.startswith("Max open files")))

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def table(rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
