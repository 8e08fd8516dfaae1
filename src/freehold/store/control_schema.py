"""The control database's tables as the queries see them. `control_migrations` creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

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
drills = _documents("drills")

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
