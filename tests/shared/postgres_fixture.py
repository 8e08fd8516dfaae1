"""A PostgreSQL server for tests: one per test run on a free loopback port, a fresh database for each test.

`postgres` and `postgres_url` are fixtures of every test (see `tests/conftest.py`); `running_postgres` and
`new_database` do the same for a bench or a test that must stop the server itself.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

_USER = "freehold"


class PostgresServer:
    """A server of our own in a temporary folder; it forgets everything when it ends."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._data = folder / "data"
        self._log = folder / "log"
        self._socket_folder = folder
        self.port = _free_port()
        self.url = f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Lay out the data folder."""
        _as_postgres(str(self._binaries / "initdb"), "-D", str(self._data), "-U", _USER, "-A", "trust", "--no-sync")

    def start(self) -> None:
        """Start it, on the same port each time; returns once it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._socket_folder}"
        options += " -c fsync=off -c max_connections=200"
        self._control("-w", "-l", str(self._log), "-o", options, "start")

    def stop(self) -> None:
        """Cut every connection and stop it, as a crash would."""
        self._control("-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{uuid4().hex}"
        engine = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _control(self, *arguments: str) -> None:
        _as_postgres(str(self._binaries / "pg_ctl"), "-D", str(self._data), *arguments)


@contextlib.contextmanager
def running_postgres() -> Generator[PostgresServer, None, None]:
    """A server that runs for the length of a block; skips the test where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="freehold-pg-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    server = PostgresServer(found[-1].parent, folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer, None, None]:
    """The server of this test run."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty database of this test's own."""
    return postgres.new_database()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _as_postgres(*command: str) -> None:
    prefix = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    done = subprocess.run((*prefix, *command), capture_output=True, cwd="/", timeout=60, check=False)
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
