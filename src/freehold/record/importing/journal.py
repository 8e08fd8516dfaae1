"""What an import has done: how far each file is read, what was counted, and rows put aside; a SQLite file per data
folder.

A chunk's progress and the rows that it put aside are committed together, after its records are in the journal. So a
process killed between the two reads a chunk again, and finds its records known.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path

import msgspec

from freehold.domain.errors import StoreError
from freehold.record.importing.files import Place, Prefix
from freehold.record.importing.values import Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    job TEXT NOT NULL, path TEXT NOT NULL, prefix_length INTEGER NOT NULL, prefix_digest TEXT NOT NULL,
    rows INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (job, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shelf (
    job TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (job, kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (job TEXT PRIMARY KEY, rejects INTEGER NOT NULL, report BLOB NOT NULL) WITHOUT ROWID;
"""
_decoder = msgspec.msgpack.Decoder(Row)
_encoder = msgspec.msgpack.Encoder()


class StepJournal:
    """The steps of one job. Also the job's shelf (see `format.Shelf`)."""

    def __init__(self, path: Path, job: str) -> None:
        """Open the file; it is made if it is not there.

        Raises:
            StoreError: it cannot be opened.
        """
        self._path, self._job = path, job
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            self._database.execute("BEGIN")

    def close(self) -> None:
        """Forget what was not committed, and close."""
        self._database.close()

    def place(self, path: Path) -> Place:
        """Where to go on in a file: the beginning, unless it begins as it did when it was read."""
        with self._translated():
            query = "SELECT prefix_length, prefix_digest, rows, offset FROM files WHERE job = ? AND path = ?"
            found = self._database.execute(query, (self._job, str(path))).fetchone()
        if found is None:
            return Place()
        length, digest, rows, offset = found
        prefix = Prefix(length, digest)
        return Place(rows, offset) if not prefix.empty and prefix.holds(path) else Place()

    def reached(self, path: Path, prefix: Prefix, place: Place) -> None:
        """Note how far a file is read."""
        with self._translated():
            values = (self._job, str(path), prefix.length, prefix.digest, place.rows, place.offset)
            self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", values)

    def resumed(self) -> tuple[int, bytes] | None:
        """The length of the rejects file and the report at the last commit; None if there was none."""
        with self._translated():
            query = "SELECT rejects, report FROM jobs WHERE job = ?"
            return self._database.execute(query, (self._job,)).fetchone()

    def commit(self, rejects: int, report: bytes) -> None:
        """Keep all that was noted and put aside."""
        with self._translated():
            values = (self._job, rejects, report)
            self._database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", values)
            self._database.execute("COMMIT")
            self._database.execute("BEGIN")

    def forget(self) -> None:
        """Begin the job anew."""
        with self._translated():
            for table in ("files", "shelf", "jobs"):
                self._database.execute(f"DELETE FROM {table} WHERE job = ?", (self._job,))

    def finish(self) -> None:
        """The job is done: how far its files are read is kept, in case they grow; all else is needed no more."""
        with self._translated():
            for table in ("shelf", "jobs"):
                self._database.execute(f"DELETE FROM {table} WHERE job = ?", (self._job,))
            self._database.execute("COMMIT")
            self._database.execute("BEGIN")

    def put(self, kind: str, key: str, row: Row) -> None:
        """See `format.Shelf`."""
        with self._translated():
            values = (self._job, kind, key, _encoder.encode(row))
            self._database.execute("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?)", values)

    def get(self, kind: str, key: str) -> Row | None:
        """See `format.Shelf`."""
        with self._translated():
            query = "SELECT row FROM shelf WHERE job = ? AND kind = ? AND key = ?"
            found = self._database.execute(query, (self._job, kind, key)).fetchone()
        return None if found is None else _decoder.decode(found[0])

    @contextlib.contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"The import's progress in {self._path} cannot be kept: {error}.", "Check the folder and the disk."
            ) from error
