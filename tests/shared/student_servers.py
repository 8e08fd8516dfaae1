"""A student server in a thread of the test's own process, on a free port of this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from typing import Any, NamedTuple

import uvicorn


class Running(NamedTuple):
    """Where it listens."""

    url: str

    def ask(self, path: str, document: Any = None, key: str = "") -> tuple[int, Any, dict[str, str]]:
        """Status, document (or text) and headers."""
        body = document if document is None or isinstance(document, bytes) else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, data=body)
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, raw, headers = reply.status, reply.read(), dict(reply.headers)
        except urllib.error.HTTPError as error:
            status, raw, headers = error.code, error.read(), dict(error.headers)
        text = raw.decode()
        return status, json.loads(text) if text.startswith(("{", "[")) else text, headers

    def chat(self, model: str, content: str = "hello", **more: Any) -> tuple[int, Any, dict[str, str]]:
        """One user turn, greedy."""
        messages = [{"role": "user", "content": content}]
        document = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 12, **more}
        return self.ask("/v1/chat/completions", document)


@contextlib.contextmanager
def running(app: Any) -> Generator[Running]:
    """Serve `app` until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", loop="uvloop", http="httptools", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
