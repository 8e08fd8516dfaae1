"""A scripted upstream (raw sockets, so that it can misbehave), and a gateway over it in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from freehold.config import GatewaySettings, Settings, UpstreamSettings
from freehold.domain.traces import Feedback, Trace
from freehold.store.journal.read import worker_journals

JSON_ANSWER = (
    b'{"id": "x",  "object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"caf\xc3\xa9 \\u00e9"},"finish_reason":"stop"}],"unknown_field": [1, 2 ]}\n'
)
EVENTS = [
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"hello"},"finish_reason":null}]}\n\n: a comment\n\n',
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


class Request:
    """A request as the upstream got it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request; raising ConnectionResetError closes the connection, as does leaving it unfinished."""


def plain(body: bytes = JSON_ANSWER, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Scripted:
    """Runs `script` for every request, on every connection, in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.gone = threading.Event()
        """Set when the peer has closed a connection."""
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                request = Request(head, b"")
                request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
                self.requests.append(request)
                answering = asyncio.ensure_future(self.script(request, writer))
                leaving = asyncio.ensure_future(self._watch(reader))
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                leaving.cancel()
                if not answering.done():
                    answering.cancel()
                    return
                await answering
                await writer.drain()
        writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        # A stream has no event for its end that leaves its bytes alone. A reset is no end of file.
        while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.gone.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def answering(*parts: bytes, pause: float = 0.0) -> Script:
    """Writes `parts` one by one."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)

    return script


def in_turn(*scripts: Script) -> Script:
    """The first script for the first request, and so on; the last for all that follow."""
    left = list(scripts)

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return script


def cut_after(data: bytes) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionResetError

    return script


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    raise ConnectionResetError


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def upstream(base_url: str, models: Sequence[str] = (), **more: object) -> UpstreamSettings:
    fields: dict[str, object] = {"retries": 0, "connect_timeout": 1.0, "first_byte_timeout": 1.0, "idle_timeout": 1.0}
    return UpstreamSettings(base_url=base_url, models=tuple(models), **{**fields, **more})  # type: ignore[arg-type]


def settings(data: Path, upstreams: dict[str, UpstreamSettings], **gateway: object) -> Settings:
    fields: dict[str, object] = {"port": 0, "policy_poll_seconds": 0.1, **gateway}
    return Settings(gateway=GatewaySettings(**fields), upstreams=upstreams, data_dir=str(data))  # type: ignore[arg-type]


def records(data: Path) -> list[Trace | Feedback]:
    """All that the journals hold, by time."""
    found = [record for journal in worker_journals(data / "journal") for _, record in journal.records(0)]
    return sorted(found, key=lambda record: record.at_ns)


def traces(data: Path) -> list[Trace]:
    return [record for record in records(data) if isinstance(record, Trace)]


def raw(url: str, request: bytes, *, read: bool = True, timeout: float = 10.0) -> bytes:
    """Send bytes, read until the peer closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(request)
        received = b""
        while read and (part := connection.recv(65536)):
            received += part
        return received


def post(body: bytes, path: str = "/v1/chat/completions", headers: str = "", *, close: bool = True) -> bytes:
    """A POST as bytes."""
    ending = "connection: close\r\n" if close else ""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}{ending}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def split(response: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a whole response; chunks are joined."""
    head, _, body = response.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = dechunk(body)
    return int(line.split()[1]), headers, body


def dechunk(data: bytes) -> bytes:
    """The chunks' bytes; a missing end leaves a marker, so that a cut body never equals a whole one."""
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return found
        found += rest[:length]
        data = rest[length + 2 :]
    return found + b"<cut>"
