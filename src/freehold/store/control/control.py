"""The control store: tasks, datasets, students, evaluations, certificates, jobs, monitors, drills, policies and events.

SQLite in the data folder by default, PostgreSQL by URL; one behaviour suite covers both.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import Any

import msgspec
from sqlalchemy import func, insert, select

from freehold.domain.counsel import Decision, Fulfilment
from freehold.domain.drills import Drill
from freehold.domain.erasures import Erasure, Quarantine
from freehold.domain.errors import Conflict, NotFound, StoreError
from freehold.domain.evaluations import Evaluation
from freehold.domain.events import Event, Job, Monitor
from freehold.domain.evidence import Certificate, Dataset, Student
from freehold.domain.policy import Policy, TaskPolicy
from freehold.domain.recalls import Recall
from freehold.domain.releases import BuiltRelease
from freehold.domain.tasks import Task
from freehold.store.control import schema
from freehold.store.control.access_tables import AccessTables
from freehold.store.control.database import Database
from freehold.store.control.documents import Collection
from freehold.store.control.migrations import migrate

_policy_decoder = msgspec.json.Decoder(Policy)
_event_decoder = msgspec.json.Decoder(Event)


class ControlStore:
    """Everything small that must be consistent. Thread-safe. Make one with `open`.

    Every method raises StoreError, with what to do, when the database cannot be reached, is locked for more than a
    few seconds, or is damaged.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.access = AccessTables(database)
        self.tasks = Collection(database, schema.tasks, Task, key="task_id", task="task_id", created="created_ns")
        self.jobs = Collection(database, schema.jobs, Job, key="job_id", created="created_ns")
        self.monitors = Collection(database, schema.monitors, Monitor, key="certificate", created="updated_ns")
        self.drills = Collection(database, schema.drills, Drill, key="drill_id", created="created_ns")
        self.erasures = Collection(database, schema.erasures, Erasure, key="erasure_id", created="at_ns")
        self.quarantines = Collection(
            database, schema.quarantines, Quarantine, key="quarantine_id", created="created_ns"
        )
        self.decisions = Collection(database, schema.decisions, Decision, key="decision_id", created="created_ns")
        self.fulfilments = Collection(
            database, schema.fulfilments, Fulfilment, key="fulfilment_id", created="created_ns"
        )
        self.recalls = Collection(database, schema.recalls, Recall, key="recall_id", created="created_ns")
        self.releases = Collection(
            database, schema.releases, BuiltRelease, key="release_id", created="created_ns", immutable=True
        )
        self.evaluations = Collection(
            database, schema.evaluations, Evaluation, key="evaluation_id", created="created_ns", immutable=True
        )
        self.datasets = Collection(
            database, schema.datasets, Dataset, key="dataset_id", created="created_ns", immutable=True
        )
        self.students = Collection(
            database, schema.students, Student, key="student_id", created="created_ns", immutable=True
        )
        self.certificates = Collection(
            database, schema.certificates, Certificate, key="certificate_id", created="issued_ns", immutable=True
        )

    @classmethod
    def open(cls, url: str) -> ControlStore:
        """Open the database at a SQLAlchemy `url`, creating or migrating it as needed.

        Raises:
            ConfigError: the URL cannot be understood or names another kind of database.
            StoreError: the database cannot be reached, or is newer than this release knows.
        """
        database = Database(url)
        try:
            _migrate(database)
        except StoreError:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Make all calls of this thread within the block one transaction: all of it or, on any exception, nothing."""
        with self._database.write():
            yield

    def policy_version(self) -> int:
        """The version of the policy in force; 0 before the first is published. Cheap: for polling."""
        with self._database.read() as connection:
            return connection.execute(select(func.max(schema.policies.c.version))).scalar() or 0

    def current_policy(self) -> Policy:
        """The policy in force; an empty one of version 0 before the first is published."""
        newest = select(schema.policies.c.body).order_by(schema.policies.c.version.desc()).limit(1)
        with self._database.read() as connection:
            body = connection.execute(newest).scalar()
        return Policy() if body is None else _policy_decoder.decode(body)

    def policy(self, version: int) -> Policy:
        """The policy of one version.

        Raises:
            NotFound: there was no such version.
        """
        query = select(schema.policies.c.body).where(schema.policies.c.version == version)
        with self._database.read() as connection:
            body = connection.execute(query).scalar()
        if body is None:
            raise NotFound(f"There is no policy of version {version}.", "`freehold tasks` shows the one in force.")
        return _policy_decoder.decode(body)

    def publish_policy(self, policy: Policy, expected_version: int) -> Policy:
        """Put `policy` in force as version `expected_version + 1`; its own version and time are replaced.

        Raises:
            Conflict: another policy was published since `expected_version`; nothing is changed.
        """
        fresh = msgspec.structs.replace(policy, version=expected_version + 1, created_ns=time.time_ns())
        body = msgspec.json.encode(fresh).decode()
        with self._database.write() as connection:
            if self.policy_version() != expected_version:
                raise Conflict(
                    f"Policy {expected_version} is no longer the one in force.", "Read the current one and repeat."
                )
            row = {"version": fresh.version, "created_ns": fresh.created_ns, "body": body}
            # Two publishers that both passed the check meet at the primary key: one of them gets the Conflict.
            connection.execute(insert(schema.policies).values(**row))
        return fresh

    def change_task_policy(self, task_id: str, reason: str, **changes: Any) -> Policy:
        """Publish the policy in force with these fields of one task's entry changed (made if there is none).

        Raises:
            Conflict: another policy was published meanwhile.
        """
        with self.transaction():
            current = self.current_policy()
            before = current.tasks.get(task_id, TaskPolicy(task=task_id))
            entry = msgspec.structs.replace(before, **changes)
            tasks = {**current.tasks, task_id: entry}
            return self.publish_policy(msgspec.structs.replace(current, reason=reason, tasks=tasks), current.version)

    def drill_in_force(self, now_ns: int) -> Drill | None:
        """The drill that reroutes requests at this time, or None. Cheap: for polling."""
        newest = self.drills.list(limit=1, newest_first=True)  # only one runs at a time
        return newest[0] if newest and newest[0].in_force(now_ns) else None

    def add_event(self, event: Event) -> bool:
        """Keep `event`; False if one of its id is there already (which is left as it is)."""
        columns = schema.events.c
        body = msgspec.json.encode(event).decode()
        row = {"id": event.event_id, "at_ns": event.at_ns, "kind": event.kind, "task": event.task, "body": body}
        with self._database.write() as connection:
            if connection.execute(select(columns.id).where(columns.id == event.event_id)).scalar() is not None:
                return False
            connection.execute(insert(schema.events).values(**row))
        return True

    def events(self, limit: int = 100, task: str | None = None) -> list[Event]:
        """The newest events (of one task), newest first."""
        columns = schema.events.c
        query = select(columns.body).order_by(columns.at_ns.desc(), columns.id.desc()).limit(limit)
        if task is not None:
            query = query.where(columns.task == task)
        with self._database.read() as connection:
            return [_event_decoder.decode(body) for body in connection.execute(query).scalars()]


def _migrate(database: Database) -> None:
    try:
        with database.write() as connection:
            migrate(connection)
    except StoreError:
        # Two processes that open a new database at once: the second one's CREATE fails once the first has committed;
        # then it finds everything in place.
        with database.write() as connection:
            migrate(connection)
