"""A worker process: tasks that take from a key's limits until they have been refused for a while.

Arguments: data folder, database URL, key, output file, unix time at which it always is, tasks, and `requests` or
`tokens`. It makes the file, begins once there is one called `go` beside it, and writes every grant to its own at once:
a line with the tokens that were really used.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from access_fixtures import settings_of

from freehold.access import Access
from freehold.domain.errors import LimitReached
from freehold.store import ControlStore

ESTIMATE, LEAST, MOST = 100, 50, 150
_PATIENCE = 4.0
"""Seconds without a grant after which nothing more is to come: what others hold idle has been given back by then."""


async def main(data: str, url: str, key: str, out: str, at: str, tasks: str, mode: str) -> None:
    settings = settings_of(Path(data), url)
    access = Access(settings, lambda: ControlStore.open(settings.control_url), clock=lambda: float(at))
    await access.start()
    deadline = time.monotonic() + 30
    while access.trouble() is not None and time.monotonic() < deadline:  # noqa: ASYNC110 - for a slow machine only
        await asyncio.sleep(0.05)
    grant = access.admit(b"Bearer " + key.encode())
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    go = Path(out).parent / "go"
    while not await asyncio.to_thread(go.exists):  # noqa: ASYNC110 - all begin together: the event is another process's
        await asyncio.sleep(0.01)
    rng, last = random.Random(out), time.monotonic()

    async def spend() -> None:
        nonlocal last
        while time.monotonic() - last < _PATIENCE:
            try:
                ticket = await access.taken(grant, ESTIMATE if mode == "tokens" else 1, 0)
            except LimitReached:
                await asyncio.sleep(0.1)
                continue
            last = time.monotonic()
            used = rng.randint(LEAST, MOST) if mode == "tokens" else 1
            os.write(file, b"%d\n" % used)
            await asyncio.sleep(rng.random() / 200)
            ticket.settle(used, 0)

    await asyncio.gather(*(spend() for _ in range(int(tasks))))
    await access.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
