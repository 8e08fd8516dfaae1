"""A caller on a raw socket: it can send anything, and says whether an answer came whole."""

from __future__ import annotations

import json
import socket
import struct
import uuid
from typing import NamedTuple

import httptools


class Answer(NamedTuple):
    """An answer as it came off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """False: the peer closed the connection before the end that its framing announced."""


class Wire:
    """One connection; answers are read in order, pipelined ones included."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.interim: list[int] = []
        """Statuses below 200 that came before answers."""
        self._parser = httptools.HttpResponseParser(self)
        self._ready: list[Answer] = []
        self._status, self._headers, self._body = 0, dict[str, str](), bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes) -> Answer:
        """Send, then read one answer."""
        self.send(data)
        return self.answer()

    def answer(self) -> Answer:
        """The next answer; one that is cut is not whole, and has status 0 if not even its head came."""
        while not self._ready:
            if not self.more():
                answer = Answer(self._status, self._headers, bytes(self._body), False)
                self._forget()
                return answer
        return self._ready.pop(0)

    def until(self, text: bytes) -> None:
        """Read until `text` has come in the body of the answer under way."""
        while text not in self._body:
            assert self.more(), f"cut after {bytes(self._body)!r}"

    def at_end(self) -> bool:
        """Whether the peer closes the connection without another byte."""
        return not self._ready and not self.more()

    def reset(self) -> None:
        """Leave with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            return False
        if data:
            self._parser.feed_data(data)
        return bool(data)

    def _forget(self) -> None:
        self._status, self._headers, self._body = 0, {}, bytearray()

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._status < 200:
            self.interim.append(self._status)
        else:
            self._ready.append(Answer(self._status, self._headers, bytes(self._body), True))
        self._forget()


def ask(url: str, data: bytes) -> Answer:
    """One request on a connection of its own."""
    with Wire(url) as wire:
        return wire.ask(data)


def post(body: bytes, path: str = "/v1/chat/completions", **headers: str) -> bytes:
    """A POST as bytes; in names of headers `_` stands for `-`."""
    lines = [f"POST {path} HTTP/1.1", "host: gateway.test", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def get(path: str, **headers: str) -> bytes:
    """A GET as bytes."""
    given = {"host": "gateway.test", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def new_nonce() -> str:
    return uuid.uuid4().hex


def body_for(model: str, nonce: str, *, stream: bool = False, size: int = 0, prompt: str = "hi") -> bytes:
    """A chat request that can be told from all others."""
    request = {
        "model": model,
        "user": nonce,
        "stream": stream,
        "messages": [{"role": "user", "content": prompt + "x" * size}],
    }
    return json.dumps(request).encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; of nothing, its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)
