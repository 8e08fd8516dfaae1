"""The loop as a service: turn after turn until it is told to stop, one loop per data folder."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from freehold.config import Settings
from freehold.config.watch import ConfigWatch
from freehold.domain.errors import FreeholdError
from freehold.loop.cycle import Loop
from freehold.loop.housekeeping import Housekeeper
from freehold.record.opening import open_store
from freehold.runners import LocalRunner
from freehold.store.locks import exclusive

_log = structlog.get_logger()


def run_loop(settings: Settings, config: Path, stop: threading.Event, *, log_level: str = "info") -> None:
    """Turn until `stop` is set. A turn that fails (the store is locked, say) is logged and tried again.

    A changed configuration file is in force from the next turn but one.

    Raises:
        LeaseHeld: another loop works on this data folder.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with exclusive(settings.data / "loop.lock"):
        store = open_store(settings)
        loop = Loop(store, settings, config, LocalRunner(), log_level=log_level)
        file = ConfigWatch(config, settings, loop.use)
        housekeeper = Housekeeper(store)
        try:
            while not stop.is_set():
                file.look()
                try:
                    loop.turn()
                except FreeholdError as error:
                    _log.warning("a turn of the loop failed and will be tried again", error=str(error))
                housekeeper.look(file.settings.retention)
                stop.wait(file.settings.loop.interval_seconds)
        finally:
            loop.stop()
            store.close()
