"""Runs the gateway on uvicorn: one process, or a supervisor over several; or a thread, for tests and the demo."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvicorn

from freehold.config import Settings, configure_logs, load_settings
from freehold.domain.errors import FreeholdError
from freehold.gateway.app import Gateway
from freehold.gateway.http import HttpProtocol
from freehold.gateway.http.asgi import ASGIApp
from freehold.gateway.process.reload import Follower
from freehold.gateway.process.supervisor import Supervisor
from freehold.gateway.runtime import Runtime
from freehold.gateway.telemetry.metrics import forget_former
from freehold.upstreams.listener import address_of, bind

SHUTDOWN_SECONDS = 30
"""How long answers under way may take to end after a request to stop."""

COLLECT_EVERY = 20_000
"""New objects between two looks for garbage in cycles."""
MOST_OPEN_FILES = 1_048_576

FallbackFactory = Callable[[Settings], ASGIApp]
"""Makes the application for paths that are not the gateway's; with several workers a function of a module."""


def serve(
    config_path: Path,
    *,
    workers: int | None = None,
    fallback_factory: FallbackFactory | None = None,
    on_listening: Callable[[str], None] | None = None,
    log_level: str = "info",
) -> None:
    """Serve until SIGINT or SIGTERM; `on_listening` gets the base URL (without `/v1`) once the port is bound.

    With several workers a killed one is started again within about a second.

    Raises:
        ConfigError: the settings, a key or the address cannot be used.
    """
    settings = load_settings(config_path)
    Runtime(settings)  # what is wrong with the settings is said here, once, not by every worker
    forget_former(settings.data)
    count = workers or settings.gateway.workers
    # The end of a terminal ends what runs in it; elsewhere SIGHUP means to read the file again.
    on_hangup = sys.stdin is None or not sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison]
    listener = bind(settings.gateway.host, settings.gateway.port)
    if on_listening is not None:
        on_listening(f"http://{address_of(listener)}")

    def app_of(last: Settings) -> Callable[[], Gateway]:
        options = WorkerOptions(config_path.absolute(), fallback_factory, log_level, on_hangup or count > 1)
        return functools.partial(worker_app, options, last)

    config = uvicorn_config(app_of(settings), workers=count)
    if count == 1:
        uvicorn.Server(config).run([listener])
    else:
        Supervisor(config, [listener], config_path, settings, app_of, check=Runtime, on_hangup=on_hangup).run()
    listener.close()


class WorkerOptions(NamedTuple):
    """What is the same for all workers."""

    config_path: Path
    fallback_factory: FallbackFactory | None
    log_level: str
    on_hangup: bool
    """SIGHUP makes it read its file."""


def worker_app(options: WorkerOptions, settings: Settings) -> Gateway:
    """Build one worker's application, in that worker.

    `settings`: the last that could be used; it follows the file from there.
    """
    # A decision is a few small products: threads would only wait for each other. Read when numpy is first loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="parent-watch", daemon=True).start()
    configure_logs(options.log_level, settings.telemetry.log_format)
    _raise_open_files()
    factory = options.fallback_factory
    follower = Follower(options.config_path, on_hangup=options.on_hangup, fallback_of=factory)
    gateway = Gateway(Runtime(settings), None if factory is None else factory(settings), follower)
    # What is there now stays: the collector need not look at it again. A request leaves no cycles, so it may wait.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    return gateway


def _raise_open_files() -> None:
    """Every caller and every upstream's connection is an open file: allow as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MOST_OPEN_FILES) if hard > 0 else hard, hard))


def _end_with(sentinel: int) -> None:
    """End this worker when its supervisor is gone: left alone it would hold the port, and nobody would restart it."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def uvicorn_config(app: Callable[..., object], *, workers: int = 1, factory: bool = True) -> uvicorn.Config:
    """How uvicorn runs us: its date and server headers are off, since the upstream's own are passed on."""
    return uvicorn.Config(
        cast(Any, app),
        factory=factory,
        workers=workers,
        http=HttpProtocol,
        interface="asgi3",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=75,
        backlog=2048,
    )


class RunningGateway:
    """A gateway in a thread of its own. `url` has no path; a context manager that stops it."""

    def __init__(self, runtime: Runtime, server: uvicorn.Server, thread: threading.Thread, url: str) -> None:
        self.runtime = runtime
        self.url = url
        self._server = server
        self._thread = thread

    def stop(self) -> None:
        """Finish what is under way, drain audits, close, and wait for the thread to end."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> RunningGateway:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready.set()


def serve_in_thread(settings: Settings, *, fallback: ASGIApp | None = None) -> RunningGateway:
    """Serve from a thread of its own; returns once it answers.

    Raises:
        ConfigError: the settings, a key or the address cannot be used.
        FreeholdError: it did not start; the log says why.
    """
    runtime = Runtime(settings)
    forget_former(settings.data)
    listener = bind(settings.gateway.host, settings.gateway.port)
    ready = threading.Event()
    server = _Server(uvicorn_config(Gateway(runtime, fallback), factory=False), ready)

    def run() -> None:
        try:
            server.run([listener])
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="gateway", daemon=True)
    thread.start()
    ready.wait()
    if not server.started:
        thread.join()
        raise FreeholdError("The gateway did not start.", "Its log says why.")
    return RunningGateway(runtime, server, thread, f"http://{address_of(listener)}")
