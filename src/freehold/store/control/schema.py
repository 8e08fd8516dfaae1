"""The control database's tables as the queries see them. `migrations` creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

metadata = MetaData()


def _documents(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("id", String(200), primary_key=True),
        Column("task", String(200), nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
        Column("body", Text, nullable=False),
    )


tasks = _documents("tasks")
datasets = _documents("datasets")
students = _documents("students")
certificates = _documents("certificates")
jobs = _documents("jobs")
monitors = _documents("monitors")
access_keys = _documents("access_keys")
access_teams = _documents("access_teams")
drills = _documents("drills")
erasures = _documents("erasures")
quarantines = _documents("quarantines")
decisions = _documents("decisions")
fulfilments = _documents("fulfilments")
recalls = _documents("recalls")
releases = _documents("releases")
evaluations = _documents("evaluations")

policies = Table(
    "policies",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("task", String(200), nullable=False),
    Column("body", Text, nullable=False),
)

access_state = Table(
    "access_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("pepper_mark", String(64), nullable=False),
)
"""One row (id 1): a counter that every change of a key or team raises, and which pepper the keys were made with."""

access_leases = Table(
    "access_leases",
    metadata,
    Column("holder", String(200), primary_key=True),
    Column("meter", String(16), primary_key=True),
    Column("began", BigInteger, primary_key=True, autoincrement=False),
    Column("used", BigInteger, nullable=False),
)
"""How much of a limit workers have taken in the window that began at this unix second."""

access_spent = Table(
    "access_spent",
    metadata,
    Column("holder", String(200), primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("nanousd", BigInteger, nullable=False),
)
"""What was really used in the UTC day that began at this unix second, as workers report it every few seconds."""
