"""Keeps several workers alive behind one listening socket, and passes on what concerns all of them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.supervisors import Multiprocess

from freehold.config import Settings
from freehold.config.watch import POLL_SECONDS, ConfigWatch

LOOK_SECONDS = POLL_SECONDS / 5
"""More often than workers look: whatever any of them has put in force, one that is started again begins with."""


class Supervisor(Multiprocess):
    """uvicorn's, but for two things.

    SIGHUP makes every worker look at its configuration file at once, instead of replacing the workers; and on the way
    out nobody listens any more, so that new callers are refused at once and go elsewhere while the others are served.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        path: Path,
        settings: Settings,
        app_of: Callable[[Settings], Callable[..., object]],
        *,
        check: Callable[[Settings], object],
        on_hangup: bool,
    ) -> None:
        """Keep workers behind `sockets`.

        Args:
            config: how uvicorn runs each.
            sockets: where all of them listen.
            path: the configuration file.
            settings: as it was read.
            app_of: makes a worker's application factory from the last settings that could be used: one that is started
                again must not fail because the file is broken at that moment.
            check: raises FreeholdError for settings that no worker could use.
            on_hangup: SIGHUP means to look at the file; else to end, as the terminal is gone.
        """
        super().__init__(config, sockets)
        self._app_of = app_of
        self._on_hangup = on_hangup
        self._file = ConfigWatch(path, settings, self._use, check=check, poll_seconds=LOOK_SECONDS, quiet=True)

    def run(self) -> None:
        """Run until SIGINT or SIGTERM, then let every worker finish what is under way."""
        self._file.start()
        try:
            super().run()
        finally:
            self._file.stop()

    def handle_hup(self) -> None:
        """Let every worker look at its configuration file; one that is still starting reads it anyway."""
        if not self._on_hangup:
            self.handle_term()
            return
        self._file.look_now()
        for process in self.processes:
            if process.pid is not None and process.is_ready(timeout=1):
                os.kill(process.pid, signal.SIGHUP)

    def handle_int(self) -> None:
        """Listen no more, and end."""
        self._close()
        super().handle_int()

    def handle_term(self) -> None:
        """Listen no more, and end."""
        self._close()
        super().handle_term()

    def _close(self) -> None:
        for listener in self.sockets:
            listener.close()

    def _use(self, settings: Settings) -> None:
        self.config.app = cast(Any, self._app_of(settings))
