"""Spans and log records that wait for each other: one SQLite file per host, shared by the gateway's workers.

A span may come without its messages, which come as log records, to another worker or later. What waits here was
acknowledged, so it is on the disk. All of it is of one tenant: a key's parts never join another's.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path

import msgspec

from freehold.domain.errors import StoreError, StoreFull
from freehold.record.importing.spans import Span
from freehold.record.importing.values import Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    owner TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, row BLOB NOT NULL, at_ns INTEGER NOT NULL,
    PRIMARY KEY (owner, kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spans (
    owner TEXT NOT NULL, own_id TEXT NOT NULL, span BLOB NOT NULL, since_ns INTEGER NOT NULL,
    PRIMARY KEY (owner, own_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spans_since ON spans (since_ns);
"""
_FULL = frozenset((sqlite3.SQLITE_FULL,))
_SECONDS = 5.0
"""How long one worker waits for another's transaction."""
_rows = msgspec.msgpack.Decoder(Row)
_spans = msgspec.msgpack.Decoder(Span)


class Waiting:
    """What waits. One process's threads may share it if they take turns."""

    def __init__(self, path: Path, clock_ns: int = 0) -> None:
        """Open the file; it is made if it is not there.

        Raises:
            StoreError: it cannot be opened.
        """
        self._path = path
        self.now_ns = clock_ns
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=_SECONDS, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """What is done in the block is done whole or not at all, and by one worker at a time."""
        with self._translated():
            self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with self._translated():
                self._database.execute("ROLLBACK")
            raise
        with self._translated():
            self._database.execute("COMMIT")

    def parts(self, owner: str) -> Parts:
        """The log records of one tenant."""
        return Parts(self, owner)

    def put_span(self, owner: str, span: Span) -> None:
        """Let a span wait for its messages; one that waits already waits no longer for that."""
        values = (owner, span.own_id, msgspec.msgpack.encode(span), self.now_ns)
        with self._translated():
            self._database.execute("INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?)", values)

    def span(self, owner: str, own_id: str) -> Span | None:
        """The span that waits under this id."""
        with self._translated():
            query = "SELECT span FROM spans WHERE owner = ? AND own_id = ?"
            found = self._database.execute(query, (owner, own_id)).fetchone()
        return None if found is None else _spans.decode(found[0])

    def overdue(self, before_ns: int) -> Iterator[tuple[str, Span]]:
        """(Tenant, span) of those that have waited since before this time."""
        with self._translated():
            query = "SELECT owner, span FROM spans WHERE since_ns <= ? ORDER BY since_ns LIMIT 1000"
            found = self._database.execute(query, (before_ns,)).fetchall()
        for owner, span in found:
            yield owner, _spans.decode(span)

    def waits(self) -> bool:
        """Whether any span waits."""
        with self._translated():
            return self._database.execute("SELECT 1 FROM spans LIMIT 1").fetchone() is not None

    def done(self, owner: str, own_id: str) -> None:
        """A span is recorded: neither it nor its log records are needed any more."""
        with self._translated():
            self._database.execute("DELETE FROM spans WHERE owner = ? AND own_id = ?", (owner, own_id))
            self._database.execute("DELETE FROM parts WHERE owner = ? AND key = ?", (owner, own_id))

    def forget(self, before_ns: int) -> int:
        """Drop log records whose span never came; returns of how many spans."""
        with self._translated():
            query = "DELETE FROM parts WHERE at_ns <= ? AND NOT EXISTS (SELECT 1 FROM spans WHERE own_id = key)"
            return self._database.execute(query, (before_ns,)).rowcount

    def put_part(self, owner: str, kind: str, key: str, row: Row) -> None:
        """See `format.Shelf`."""
        values = (owner, kind, key, msgspec.msgpack.encode(row), self.now_ns)
        with self._translated():
            self._database.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", values)

    def get_part(self, owner: str, kind: str, key: str) -> Row | None:
        """See `format.Shelf`."""
        with self._translated():
            query = "SELECT row FROM parts WHERE owner = ? AND kind = ? AND key = ?"
            found = self._database.execute(query, (owner, kind, key)).fetchone()
        return None if found is None else _rows.decode(found[0])

    @contextlib.contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) in _FULL:
                raise StoreFull(f"There is no room left for {self._path}.", "Free disk space.") from error
            raise StoreError(
                f"What waits in {self._path} cannot be read or written: {error}.", "Check the folder and the disk."
            ) from error


class Parts:
    """The log records of one tenant, as a `format.Shelf`."""

    def __init__(self, waiting: Waiting, owner: str) -> None:
        self._waiting = waiting
        self._owner = owner

    def put(self, kind: str, key: str, row: Row) -> None:
        """See `format.Shelf`."""
        self._waiting.put_part(self._owner, kind, key, row)

    def get(self, kind: str, key: str) -> Row | None:
        """See `format.Shelf`."""
        return self._waiting.get_part(self._owner, kind, key)
