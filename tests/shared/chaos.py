"""An upstream that misbehaves by script: raw sockets, a thread per connection, nothing left to chance.

The first part of a request's path names the script, so that every fault is an upstream of its own to the gateway.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable

EVENTS = [
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"%d"},"finish_reason":null}]}\n\n' % number
    for number in range(4)
]
DONE = b"data: [DONE]\n\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_LINE = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"0123456789abcdef" * 655_360 + b'"}}]}\n\n'
"""An event of 10 MB."""
JSON = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1}}'
ZIPPED = gzip.compress(JSON, mtime=0)
LINE_OF_A_MEGABYTE = b"x-a: " + b"a" * 1_000_000 + b"\r\n"


class Asked:
    """A request as the upstream got it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body


class Talk:
    """One exchange, as its script sees it."""

    def __init__(self, connection: socket.socket, asked: Asked, turn: int, exchange: int) -> None:
        self.asked = asked
        self.turn = turn
        """How many requests this script had before."""
        self.exchange = exchange
        """How many requests this connection had before."""
        self.ended = False
        self._connection = connection

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._connection.sendall(part)

    def close(self) -> None:
        """Close in order, after this answer."""
        self.ended = True

    def half_close(self) -> None:
        """Say that nothing more will be sent, and wait until the peer closes too."""
        self._connection.shutdown(socket.SHUT_WR)
        self.hang()

    def reset(self) -> None:
        """Close with RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ended = True

    def hang(self) -> None:
        """Say nothing more until the peer leaves."""
        with contextlib.suppress(ConnectionError):
            while self._connection.recv(65536):
                pass
        self.ended = True


Script = Callable[[Talk], None]


class Chaos:
    """The server. `scripts`: by name; more may be added while it runs."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self.scripts = scripts
        self.asked: dict[str, list[Asked]] = defaultdict(list)
        self.connections: Counter[str] = Counter()
        """By the script of their first request."""
        self.left: Counter[str] = Counter()
        """Conversations that are over, by the script of their last request."""
        self.unread: list[bytes] = []
        """What came on a connection and was no whole request."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def base_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._port}/{name}/v1"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._open)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        names: list[str] = []
        try:
            self._converse(connection, names)
        except OSError:
            pass  # the peer has left
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)
                self.left[names[-1] if names else ""] += 1

    def _converse(self, connection: socket.socket, names: list[str]) -> None:
        rest = b""
        exchange = 0
        while True:
            while b"\r\n\r\n" not in rest:
                data = connection.recv(1 << 18)
                if not data:
                    if rest:
                        self.unread.append(rest)
                    return
                rest += data
            head, _, rest = rest.partition(b"\r\n\r\n")
            asked = Asked(head, b"")
            name = asked.line.split(" ")[1].split("/")[1]
            names.append(name)
            script = self.scripts[name]
            parts, size, length = [rest], len(rest), int(asked.headers.get("content-length", "0"))
            if not getattr(script, "impatient", False):
                while size < length:
                    data = connection.recv(1 << 18)
                    if not data:
                        return
                    parts.append(data)
                    size += len(data)
            whole = b"".join(parts)
            asked.body, rest = whole[:length], whole[length:]
            with self._lock:
                turn = len(self.asked[name])
                self.asked[name].append(asked)
                self.connections[name] += exchange == 0
            talk = Talk(connection, asked, turn, exchange)
            script(talk)
            exchange += 1
            if talk.ended:
                return

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def __enter__(self) -> Chaos:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def plain(body: bytes = JSON, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer with a length."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole_stream(*events: bytes) -> bytes:
    """A streamed answer, each event a chunk."""
    return SSE_HEAD + b"".join(chunk(event) for event in events) + b"0\r\n\r\n"


def well_behaved(talk: Talk) -> None:
    """Says what it was asked: whoever gets another's answer sees it."""
    try:
        asked = json.loads(talk.asked.body or b"{}")
    except ValueError:  # no JSON, or numbers that Python will not read
        asked = {}
    content = json.dumps({"id": "x", "echo": asked.get("user"), "choices": []}).encode()
    if asked.get("stream"):
        talk.send(whole_stream(*EVENTS, b"data: " + content + b"\n\n", DONE))
    else:
        talk.send(plain(content))


def says(*parts: bytes) -> Script:
    """Sends `parts`, keeps the connection."""
    return lambda talk: talk.send(*parts)


def says_then(ending: Callable[[Talk], None], *parts: bytes) -> Script:
    """Sends `parts`, then `ending`: `Talk.close`, `Talk.reset`, `Talk.hang` or `Talk.half_close`."""

    def script(talk: Talk) -> None:
        talk.send(*parts)
        ending(talk)

    return script


def trickles(data: bytes, size: int, seconds: float) -> Script:
    """Sends `size` bytes every so many seconds."""

    def script(talk: Talk) -> None:
        tick = threading.Event()
        for start in range(0, len(data), size):
            talk.send(data[start : start + size])
            tick.wait(seconds)

    return script


def events_for_ever(talk: Talk) -> None:
    """An event every few milliseconds, until the peer leaves."""
    talk.send(SSE_HEAD)
    tick = threading.Event()
    while True:
        talk.send(chunk(EVENTS[0]))
        tick.wait(0.005)


def sends(size: int) -> Script:
    """A body of `size` bytes as fast as the peer takes it."""

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            talk.send(bytes(65536))

    return script


def endless(head: bytes, part: bytes) -> Script:
    """Sends `head`, then `part` for ever: until the peer has had enough."""

    def script(talk: Talk) -> None:
        talk.send(head)
        while True:
            talk.send(part)

    return script


def closes_the_second_time(talk: Talk) -> None:
    """Answers once on a connection, and closes it when the next request comes, without a word."""
    if talk.exchange:
        talk.close()
    else:
        talk.send(plain())


def answers_unread(talk: Talk) -> None:
    """Answers before it has read the request's body, and closes: what is still on its way is met by RST."""
    talk.send(plain(b'{"error":{"message":"too large"}}', "413 Payload Too Large", "connection: close\r\n"))
    talk.close()


answers_unread.impatient = True  # type: ignore[attr-defined]
