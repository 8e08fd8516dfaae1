"""A connection to the control database: transactions, time limits and one translation of what goes wrong.

The only place that knows which database it is; the queries do not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from freehold.domain.errors import ConfigError, Conflict, StoreError

LOCK_SECONDS = 3
"""How long to wait for a lock or a connection before saying that there is none."""


class Database:
    """Transactions on one control database. Thread-safe; each thread has its own connection while it needs one."""

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self._file = _sqlite_file(self._url)
        self._local = threading.local()
        self._inode: tuple[int, int] | None = None
        self._engine = self._open()

    def _open(self) -> Engine:
        try:
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            return _engine(self._url)
        except OSError as error:
            raise StoreError(
                f"The folder of the control database {self._file} cannot be made: {error.strerror}.",
                "Check data_dir in the configuration and the permissions of the folder above.",
            ) from error
        except ImportError as error:
            raise StoreError(
                f"The driver of the control database is not installed ({error}).",
                "For PostgreSQL: pip install 'freehold[postgres]'.",
            ) from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Generator[Connection, None, None]:
        """A connection that sees one consistent state; inside `write()`, the writer's own.

        Raises:
            StoreError: the database cannot be reached, is locked or is damaged.
        """
        with self._connection(write=False) as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Generator[Connection, None, None]:
        """One transaction: all of the block or nothing. Nested blocks join the outermost one.

        Raises:
            Conflict: somebody else wrote the same row first; nothing of the block is kept.
            StoreError: the database cannot be reached or written, is locked or is damaged.
        """
        with self._connection(write=True) as connection:
            yield connection

    @contextlib.contextmanager
    def _connection(self, *, write: bool) -> Generator[Connection, None, None]:
        current: Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            with self._translated():
                yield current
            return
        self._check_file()
        with (
            self._translated(),
            self._engine.connect().execution_options(freehold_write=write) as connection,
            connection.begin(),
        ):
            # Only a writer is joined: a read nested in a read may as well have a connection of its own.
            self._local.connection = connection if write else None
            try:
                yield connection
            finally:
                self._local.connection = None

    def _check_file(self) -> None:
        # SQLite goes on writing to a deleted file without a word; its inode tells.
        if self._file is None:
            return
        try:
            stat = self._file.stat()
        except OSError as error:
            if self._inode is None and isinstance(error, FileNotFoundError):
                return  # first use: SQLite makes it
            raise StoreError(
                f"The control database {self._file} is gone or out of reach ({error.strerror}).",
                "Put it back from a backup and start Freehold again.",
            ) from error
        inode = (stat.st_dev, stat.st_ino)
        if self._inode is None:
            self._inode = inode
        elif inode != self._inode:
            raise StoreError(
                f"The control database {self._file} was replaced by another file while in use.",
                "Start Freehold again to use the new file.",
            )

    @contextlib.contextmanager
    def _translated(self) -> Generator[None, None, None]:
        where = self._url.render_as_string(hide_password=True)
        try:
            yield
        except IntegrityError as error:
            raise Conflict("Somebody else changed the same thing first.", "Read it again and repeat.") from error
        except DBAPIError as error:
            detail = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error).__name__
            raise StoreError(f"The control database {where} failed: {detail}.", _hint(detail)) from error
        except SQLAlchemyError as error:
            raise StoreError(f"The control database {where} cannot be used: {error}.", _hint(str(error))) from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "control.url is not a database URL.", "For example postgresql://user@host/freehold, or leave it empty."
        ) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"control.url names the database {backend!r}.", "Use sqlite or postgresql.")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("control.url names a database in memory.", "Name a file: sqlite:////path/control.sqlite.")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    return Path(url.database or "")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_timeout=LOCK_SECONDS, connect_args={"timeout": LOCK_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    limits = f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={LOCK_SECONDS}s"
    arguments = {"connect_timeout": LOCK_SECONDS, "options": limits}
    return create_engine(url, pool_timeout=LOCK_SECONDS, pool_pre_ping=True, connect_args=arguments)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns from reading to writing fails at once if another wrote meanwhile, without
    # waiting for its lock; one that says so at the start waits its turn.
    write = connection.get_execution_options().get("freehold_write", False)
    # Pages in memory pass for those of a file that was overwritten, if another connection was the first to notice:
    # without them every transaction reads the file's head anew, and says what is wrong with it.
    connection.exec_driver_sql("PRAGMA shrink_memory")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _hint(detail: str) -> str:
    lowered = detail.lower()
    if "locked" in lowered or "lock timeout" in lowered or "statement timeout" in lowered:
        return "Another process holds it; try again, and end what keeps it locked."
    if "readonly" in lowered or "read-only" in lowered or "unable to open" in lowered:
        return "Check the permissions of the file and of its folder."
    if "full" in lowered or "no space" in lowered:
        return "Free disk space."
    if "malformed" in lowered or "not a database" in lowered:
        return "The file is damaged: put it back from a backup."
    return "Check that the database is running and that control.url is right."
