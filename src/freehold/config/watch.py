"""Looks at the configuration file once in a while, and hands on what changed: as a whole, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from freehold.config.load import load_settings
from freehold.config.reload import Reload, reload_of
from freehold.config.settings import Settings
from freehold.domain.errors import FreeholdError

_log = structlog.get_logger()
POLL_SECONDS = 0.5
_Mark = tuple[int, int, int]
"""When the file was changed, its size and its inode."""


class ConfigWatch:
    """One per process, with a thread of its own. A file that cannot be used changes nothing, and `error` says why.

    A changed file is taken up once it has stayed the same for one look, so that none is read half written.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        adopt: Callable[[Settings], None],
        *,
        check: Callable[[Settings], object] = lambda settings: None,
        poll_seconds: float = POLL_SECONDS,
        quiet: bool = False,
        anew: bool = False,
    ) -> None:
        """Watch `path`, whose settings in force are `settings`.

        Args:
            path: the configuration file.
            settings: as it was read.
            adopt: puts settings in force; called in the thread.
            check: raises FreeholdError for what is wrong with settings beyond the file (a key that is not set).
            poll_seconds: between looks.
            quiet: log nothing: others that watch the same file do.
            anew: `settings` may be older than the file: read it at the first look.
        """
        self.settings = settings
        self.error: str | None = None
        """Why the file as it is now is not in force."""
        self.waiting: tuple[str, ...] = ()
        """Settings that the file has changed and only a new start puts in force."""
        self._path = path
        self._adopt = adopt
        self._check = check
        self._poll = poll_seconds
        self._quiet = quiet
        self._seen = _mark(path)
        self._mark = (0, 0, 0) if anew else self._seen
        self._asked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop looking. `wait` for a look under way to end."""
        self._stop.set()
        self._asked.set()
        if wait and self._thread.is_alive():
            self._thread.join()

    def look_now(self) -> None:
        """Read the file now and put it in force, changed or not: what it names may have. Safe in a signal handler."""
        self._asked.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            asked = self._asked.wait(self._poll)
            if asked:
                self._asked.clear()
            if self._stop.is_set():
                return
            try:
                self.look(at_once=asked)
            except Exception as error:  # noqa: BLE001 - logged and said; the next look may succeed
                self.error = f"The settings of {self._path} could not be put in force: {type(error).__name__}."
                _log.exception("config-not-reloaded", path=str(self._path))

    def look(self, *, at_once: bool = False) -> None:
        """One look. `at_once`: whatever the file's mark says."""
        mark = _mark(self._path)
        settled, self._seen = mark == self._seen, mark
        if not at_once and (mark == self._mark or not settled):
            return
        self._mark = mark
        try:
            new = load_settings(self._path)
            self._check(new)
            self._take(reload_of(self.settings, new), always=at_once)
        except FreeholdError as error:
            self.error = str(error)
            if not self._quiet:
                _log.error("config-not-reloaded", path=str(self._path), error=str(error))

    def _take(self, found: Reload, *, always: bool) -> None:
        if found.live or always:
            self._adopt(found.settings)
            self.settings = found.settings
            if not self._quiet:
                _log.info("config-reloaded", path=str(self._path), changed=list(found.live))
        self.error = None
        if found.fixed and found.fixed != self.waiting and not self._quiet:
            _log.warning("config-needs-a-new-start", path=str(self._path), settings=list(found.fixed))
        self.waiting = found.fixed


def _mark(path: Path) -> _Mark | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
