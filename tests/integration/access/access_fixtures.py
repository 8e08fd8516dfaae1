"""Settings with a database, a desk to make keys at, and what it takes to run workers as processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from freehold.access import KeyDesk
from freehold.config import Settings
from freehold.store import ControlStore

T = TypeVar("T")
SPENDER = Path(__file__).parent / "spender.py"


def settings_of(data: Path, url: str, **access: object) -> Settings:
    """Settings over a data folder and a database (empty: SQLite in the folder)."""
    return msgspec.convert({"data_dir": str(data), "control": {"url": url}, "access": access}, Settings)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return settings_of(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def control(settings: Settings) -> Generator[ControlStore, None, None]:
    store = ControlStore.open(settings.control_url)
    yield store
    store.close()


@pytest.fixture
def desk(settings: Settings, control: ControlStore) -> KeyDesk:
    return KeyDesk(settings, control, by="command")


def run(work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
    """Run a coroutine for so long at most."""

    async def bounded() -> T:
        return await asyncio.wait_for(work, seconds)

    return asyncio.run(bounded())


async def until(what: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until something holds; returns how long it took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def spenders(
    settings: Settings, keys: list[str], out: list[Path], *, at: float, tasks: int, mode: str
) -> list[subprocess.Popen[bytes]]:
    """Processes that use these keys as fast as they can, one each, from the same moment on: see `spender.py`."""
    rest = [str(at), str(tasks), mode]
    running = [
        subprocess.Popen([sys.executable, str(SPENDER), settings.data_dir, settings.control.url, key, str(file), *rest])
        for key, file in zip(keys, out, strict=True)
    ]
    deadline = time.monotonic() + 60
    while not all(file.exists() for file in out):
        assert time.monotonic() < deadline and all(process.poll() is None for process in running)
        os.sched_yield()
    (out[0].parent / "go").touch()
    return running
