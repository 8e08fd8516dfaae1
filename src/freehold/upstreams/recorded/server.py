"""Runs the recorded application on uvicorn: in this thread, or in a thread of its own for tests and the demo."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, cast

import uvicorn

from freehold.upstreams.listener import address_of, bind
from freehold.upstreams.recorded.answers import RecordedAnswers
from freehold.upstreams.recorded.app import Pacing, RecordedApp


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()


class RunningServer:
    """A server in a thread of its own. `base_url` ends in `/v1`; a context manager that stops it."""

    def __init__(self, app: RecordedApp, server: uvicorn.Server, thread: threading.Thread, address: str) -> None:
        self.app = app
        self.base_url = f"http://{address}/v1"
        self._server = server
        self._thread = thread

    def stop(self) -> None:
        """Stop listening, cut what is still open, and wait for the thread to end."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _config(app: RecordedApp) -> uvicorn.Config:
    application = cast(Any, app)
    return uvicorn.Config(
        application, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, log_level="error"
    )


def serve_in_thread(
    answers: RecordedAnswers, *, host: str = "127.0.0.1", port: int = 0, pacing: Pacing | None = None
) -> RunningServer:
    """Serve `answers` from a thread of its own; returns once it listens.

    Raises:
        ConfigError: the address is taken.
    """
    listener = bind(host, port)
    app = RecordedApp(answers, pacing)
    ready = threading.Event()
    server = _Server(_config(app), ready.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="recorded-upstream", daemon=True)
    thread.start()
    ready.wait()
    return RunningServer(app, server, thread, address_of(listener))


def serve(answers: RecordedAnswers, *, host: str, port: int, pacing: Pacing, on_ready: Callable[[str], None]) -> None:
    """Serve `answers` in this thread until interrupted; `on_ready` gets the base URL once it listens.

    Raises:
        ConfigError: the address is taken.
    """
    listener = bind(host, port)
    base_url = f"http://{address_of(listener)}/v1"
    _Server(_config(RecordedApp(answers, pacing)), lambda: on_ready(base_url)).run([listener])
