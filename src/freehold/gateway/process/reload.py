"""Keeps a worker's settings those of its configuration file, without a connection dropped.

Requests under way end with the upstreams they began with; new ones meet the new settings as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.config.watch import ConfigWatch

if TYPE_CHECKING:
    from freehold.gateway.app import Gateway
    from freehold.gateway.http.asgi import ASGIApp

ADOPT_SECONDS = 10.0
"""An event loop that does not get round to it for so long is asked again when the file changes next."""


class Follower:
    """One per worker: watches the file in a thread, changes settings on the event loop."""

    def __init__(
        self, path: Path, *, on_hangup: bool = False, fallback_of: Callable[[Settings], ASGIApp] | None = None
    ) -> None:
        """Follow the file at `path`.

        Args:
            path: the configuration file.
            on_hangup: SIGHUP makes it look at once.
            fallback_of: makes the application for paths that are not the gateway's.
        """
        self._path = path
        self._on_hangup = on_hangup
        self._fallback_of = fallback_of
        self._file: ConfigWatch | None = None

    def start(self, gateway: Gateway) -> None:
        """Begin. Called on the event loop."""
        loop, runtime = asyncio.get_running_loop(), gateway.runtime

        def adopt(settings: Settings) -> None:
            ready = runtime.prepare(settings)  # reads certificates: not on the event loop
            fallback = None if self._fallback_of is None else self._fallback_of(settings)

            async def change() -> None:
                former = runtime.adopt(ready)
                gateway.adopted(fallback)
                await runtime.let_go(ready, former)

            asyncio.run_coroutine_threadsafe(change(), loop).result(ADOPT_SECONDS)

        # The settings may be older than the file: a worker that is started again gets the last that were in force.
        self._file = runtime.file = ConfigWatch(self._path, runtime.settings, adopt, anew=True)
        self._file.start()
        if self._on_hangup and threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, self._file.look_now)

    def stop(self) -> None:
        """End; a look under way is left to itself, as it may wait for this event loop."""
        if self._file is not None:
            self._file.stop(wait=False)
        with contextlib.suppress(ValueError, RuntimeError):  # only the main thread has signals
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
