"""The control database's schema over time: an ordered list of migrations, each applied once, in one transaction.

A migration is never edited once released: a change is a new entry at the end. The statements are plain SQL that
SQLite and PostgreSQL both understand. What queries use is declared in `schema`; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import Connection, column, inspect, table, text
from sqlalchemy.sql.expression import insert, select, update

from freehold.domain.errors import StoreError

_DOCUMENT = """
CREATE TABLE {name} (
    id VARCHAR(200) PRIMARY KEY,
    task VARCHAR(200) NOT NULL,
    created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    body TEXT NOT NULL
)
"""
_KINDS = ("tasks", "datasets", "students", "certificates", "jobs", "monitors")

_FIRST = (
    *(_DOCUMENT.format(name=name) for name in _KINDS),
    *(f"CREATE INDEX {name}_by_task ON {name} (task, created_ns)" for name in _KINDS),
    "CREATE TABLE policies (version BIGINT PRIMARY KEY, created_ns BIGINT NOT NULL, body TEXT NOT NULL)",
    """
    CREATE TABLE events (
        id VARCHAR(200) PRIMARY KEY,
        at_ns BIGINT NOT NULL,
        kind VARCHAR(64) NOT NULL,
        task VARCHAR(200) NOT NULL,
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX events_by_time ON events (at_ns)",
    "CREATE INDEX events_by_task ON events (task, at_ns)",
)

_WITH_EVIDENCE = (
    "ALTER TABLE certificates RENAME TO certificates_without_evidence",
    "DROP INDEX certificates_by_task",
    _DOCUMENT.format(name="certificates"),
    "CREATE INDEX certificates_by_task ON certificates (task, created_ns)",
)
"""Certificates of the first form cannot be computed again: they are kept aside, and the loop withdraws their rungs."""

_WITH_DRILLS = (
    _DOCUMENT.format(name="drills"),
    "CREATE INDEX drills_by_task ON drills (task, created_ns)",
)

_WITH_ACCESS = (
    *(_DOCUMENT.format(name=name) for name in ("access_keys", "access_teams")),
    "CREATE TABLE access_state (id INTEGER PRIMARY KEY, version BIGINT NOT NULL, pepper_mark VARCHAR(64) NOT NULL)",
    "INSERT INTO access_state (id, version, pepper_mark) VALUES (1, 0, '')",
    """
    CREATE TABLE access_leases (
        holder VARCHAR(200) NOT NULL,
        meter VARCHAR(16) NOT NULL,
        began BIGINT NOT NULL,
        used BIGINT NOT NULL,
        PRIMARY KEY (holder, meter, began)
    )
    """,
    """
    CREATE TABLE access_spent (
        holder VARCHAR(200) NOT NULL,
        day BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        tokens BIGINT NOT NULL,
        nanousd BIGINT NOT NULL,
        PRIMARY KEY (holder, day)
    )
    """,
)

_WITH_ERASURES = (
    *(_DOCUMENT.format(name=name) for name in ("erasures", "quarantines")),
    *(f"CREATE INDEX {name}_by_task ON {name} (task, created_ns)" for name in ("erasures", "quarantines")),
)

_WITH_RIGHTS = (
    *(_DOCUMENT.format(name=name) for name in ("decisions", "fulfilments", "recalls", "releases")),
    *(
        f"CREATE INDEX {name}_by_task ON {name} (task, created_ns)"
        for name in ("decisions", "fulfilments", "recalls", "releases")
    ),
)

_WITH_EVALUATIONS = (
    _DOCUMENT.format(name="evaluations"),
    "CREATE INDEX evaluations_by_task ON evaluations (task, created_ns)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _FIRST,
    _WITH_EVIDENCE,
    _WITH_DRILLS,
    _WITH_ACCESS,
    _WITH_ERASURES,
    _WITH_RIGHTS,
    _WITH_EVALUATIONS,
)
"""Migration i (from 1) takes the database from version i − 1 to i."""

_version = table("schema_version", column("version"))


def migrate(connection: Connection) -> int:
    """Bring the database to the newest version; returns how many migrations were applied.

    Raises:
        StoreError: the database is newer than this release knows.
    """
    if not inspect(connection).has_table("schema_version"):
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(insert(_version).values(version=0))
    found = int(connection.execute(select(_version.c.version)).scalar_one())
    if found > len(MIGRATIONS):
        raise StoreError(
            f"The control database has schema version {found}; this release knows up to {len(MIGRATIONS)}.",
            "Run the newer release of Freehold that wrote it, or restore a backup made by this one.",
        )
    for statements in MIGRATIONS[found:]:
        for statement in statements:
            connection.execute(text(statement))
    if found < len(MIGRATIONS):
        connection.execute(update(_version).values(version=len(MIGRATIONS)))
    return len(MIGRATIONS) - found
