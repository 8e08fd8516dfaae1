"""Records, keys and segments for the tests of the journal."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from freehold.domain.ids import new_id
from freehold.domain.traces import Record, Trace
from freehold.store import JournalWriter, Store
from freehold.store.journal.keys import JournalKeys
from freehold.store.journal.options import JournalOptions
from freehold.store.journal.read import worker_journals

SECRET = base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = base64.b64encode(bytes(range(1, 33))).decode()
KEYS = JournalKeys.parse(SECRET, "the test")
OTHER_KEYS = JournalKeys.parse(OTHER_SECRET, "the test")


def trace(number: int = 0, size: int = 200, body: bytes = b"") -> Trace:
    """A trace whose request holds `number` and about `size` bytes, or `body`."""
    text = f"request {number} ".encode() + b"lorem ipsum dolor sit amet " * (size // 27 + 1)
    return Trace(
        trace_id=new_id("tr"), at_ns=time.time_ns(), model="m", status=200, request=body or text[:size], response=b"{}"
    )


def write(folder: Path, records: list[Trace], options: JournalOptions) -> None:
    """Write `records` as a worker that then ends."""
    writer = JournalWriter(folder, options)
    for record in records:
        writer.append(record)
    writer.close()


def journalled(root: Path, keys: JournalKeys | None = None) -> list[Record]:
    """Every intact record in the journals below `root`."""
    return [record for journal in worker_journals(root, keys) for _, record in journal.records(0)]


def open_store(data: Path, options: JournalOptions) -> Store:
    """A store in `data` on SQLite."""
    data.mkdir(parents=True, exist_ok=True)
    return Store.open(data, f"sqlite:///{data / 'control.sqlite'}", journal=options)
