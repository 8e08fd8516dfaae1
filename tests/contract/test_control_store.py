"""One behaviour for the control store, whichever database is below it: SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, inspect, text

from freehold.domain.errors import ConfigError, Conflict, NotFound, StoreError
from freehold.domain.events import Event, Job, Monitor
from freehold.domain.evidence import Student
from freehold.domain.policy import Policy, TaskPolicy
from freehold.domain.tasks import Task
from freehold.store import ControlStore
from freehold.store.control.migrations import MIGRATIONS
from freehold.store.control.schema import metadata


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'control.sqlite'}"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture
def control(url: str) -> Generator[ControlStore, None, None]:
    store = ControlStore.open(url)
    yield store
    store.close()


def _task(name: str, **changes: object) -> Task:
    return msgspec.structs.replace(Task(task_id=f"task_{name}", name=name, created_ns=1, updated_ns=1), **changes)


def _student(**changes: object) -> Student:
    student = Student(
        student_id="st_1",
        task="task_a",
        dataset_id="ds_1",
        kind="classifier",
        path="students/st_1",
        sha256="0" * 64,
        verdicts=(),
        metrics={"accuracy": 0.5},
        created_ns=1,
    )
    return msgspec.structs.replace(student, **changes)


def _event(number: int, task: str = "task_a") -> Event:
    return Event(event_id=f"ev_{number:08x}", at_ns=number, kind="promoted", task=task, message="a\0b ☃", evidence={})


def test_documents_come_back_as_they_were_put(control: ControlStore) -> None:
    first, second = _task("a", note="Ünïcode \0 '; DROP TABLE tasks; --"), _task("b", created_ns=2)
    control.tasks.put(second)
    control.tasks.put(first)
    assert control.tasks.get("task_a") == first
    assert control.tasks.get("task_c") is None
    assert control.tasks.list() == [first, second]
    assert control.tasks.list(newest_first=True, limit=1) == [second]
    assert control.tasks.list(task="task_b") == [second]
    control.tasks.put(_task("a", state="learning"))
    assert control.tasks.list(task="task_a") == [_task("a", state="learning")]
    job = Job(job_id="job_1", kind="train", task="task_a", state="running", created_ns=5, updated_ns=5)
    monitor = Monitor(certificate="cert_1", task="task_a", epsilon=0.02, delta=0.05, updated_ns=7)
    control.jobs.put(job)
    control.monitors.put(monitor)
    assert (control.jobs.list(task="task_a"), control.monitors.get("cert_1")) == ([job], monitor)


def test_what_is_immutable_never_changes(control: ControlStore) -> None:
    control.students.put(_student())
    control.students.put(_student())
    with pytest.raises(Conflict, match="st_1 exists"):
        control.students.put(_student(sha256="1" * 64))
    with pytest.raises(Conflict):
        control.students.update(_student(), 1)
    assert control.students.list() == [_student()]


def test_a_row_is_intact_until_any_of_it_is_changed_by_other_means(control: ControlStore, url: str) -> None:
    control.students.put(_student())
    assert control.students.intact("st_1") and not control.students.intact("st_2")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    for change in ("task = 'task_b'", "created_ns = 2", "updated_ns = 2", "body = body || ' '"):
        with engine.begin() as connection:
            before = connection.execute(text("SELECT task, body FROM students")).one()
            connection.execute(text(f"UPDATE students SET {change}"))
        assert not control.students.intact("st_1"), change
        with engine.begin() as connection:
            restore = "UPDATE students SET task = :task, body = :body, created_ns = 1, updated_ns = 1"
            connection.execute(text(restore), before._asdict())
        assert control.students.intact("st_1")
    engine.dispose()


def test_certificates_of_the_first_form_are_kept_aside(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(text(statement))
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO schema_version VALUES (1)"))
        connection.execute(text("INSERT INTO certificates VALUES ('ce_old', 'task_a', 1, 1, '{}')"))
    opened = ControlStore.open(url)
    assert opened.certificates.list() == []
    opened.close()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT id FROM certificates_without_evidence")).scalar() == "ce_old"
    engine.dispose()


def test_an_update_of_what_somebody_else_changed_is_refused(control: ControlStore) -> None:
    control.tasks.put(_task("a"))
    fresh = control.tasks.update(_task("a", note="mine"), 1)
    assert fresh.updated_ns > 1
    with pytest.raises(Conflict, match="changed by somebody else"):
        control.tasks.update(_task("a", note="late"), 1)
    assert control.tasks.get("task_a") == fresh
    with pytest.raises(Conflict):
        control.tasks.update(_task("absent"), 1)


def test_only_one_of_many_publishers_wins_each_version(control: ControlStore, url: str) -> None:
    assert (control.policy_version(), control.current_policy()) == (0, Policy())
    publishers, rounds = 4, 5
    won: list[tuple[int, str]] = []
    failures: list[Exception] = []
    barrier = threading.Barrier(publishers)

    def publish(name: str) -> None:
        own = ControlStore.open(url)
        for version in range(rounds):
            barrier.wait(timeout=60)
            try:
                won.append((own.publish_policy(Policy(reason=name), version).version, name))
            except Conflict:
                pass
            except StoreError as error:
                failures.append(error)
            barrier.wait(timeout=60)
        own.close()

    threads = [threading.Thread(target=publish, args=(f"p{i}",)) for i in range(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not failures
    assert [version for version, _ in won] == [1, 2, 3, 4, 5]
    assert control.policy_version() == rounds
    assert [control.policy(version).reason for version, _ in won] == [name for _, name in won]
    assert control.current_policy() == control.policy(rounds)
    with pytest.raises(NotFound):
        control.policy(99)


def test_a_transaction_is_all_or_nothing(control: ControlStore) -> None:
    policy = Policy(tasks={"task_a": TaskPolicy(task="task_a")})
    with pytest.raises(ZeroDivisionError), control.transaction():
        control.publish_policy(policy, 0)
        control.tasks.put(_task("a"))
        control.add_event(_event(1))
        raise ZeroDivisionError
    assert (control.policy_version(), control.tasks.list(), control.events()) == (0, [], [])
    with control.transaction():
        control.publish_policy(policy, 0)
        control.tasks.put(_task("a"))
        control.add_event(_event(1))
    assert (control.policy_version(), control.tasks.list(), control.events()) == (1, [_task("a")], [_event(1)])
    with pytest.raises(Conflict), control.transaction():
        control.tasks.put(_task("b"))
        control.publish_policy(policy, 0)
    assert control.tasks.get("task_b") is None


def test_events_come_newest_first_and_once(control: ControlStore) -> None:
    assert [control.add_event(_event(i, f"task_{i % 2}")) for i in range(1, 6)] == [True] * 5
    assert control.add_event(_event(3)) is False
    assert [event.at_ns for event in control.events(limit=3)] == [5, 4, 3]
    assert control.events(task="task_0") == [_event(4, "task_0"), _event(2, "task_0")]


def test_many_processes_may_open_a_new_database_at_once(url: str) -> None:
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            ControlStore.open(url).close()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures


def test_migrations_make_the_tables_that_the_queries_use(control: ControlStore, url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    found = inspect(engine)
    for table in metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(StoreError, match="schema version 99"):
        ControlStore.open(url)


def test_a_locked_database_is_said_within_five_seconds(control: ControlStore, url: str) -> None:
    control.tasks.put(_task("a"))
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with contextlib.closing(engine.raw_connection()) as holder:
        cursor = holder.cursor()
        if url.startswith("sqlite"):
            cursor.execute("BEGIN IMMEDIATE")
        else:
            cursor.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreError, match="Another process holds it"):
            control.tasks.put(_task("a", note="late"))
        assert time.monotonic() - began < 5
        holder.rollback()
    engine.dispose()
    control.tasks.put(_task("a", note="now"))


def test_an_unreachable_or_unknown_database_is_said(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        ControlStore.open(f"postgresql://freehold:hunter2@127.0.0.1:{port}/none")
    assert time.monotonic() - began < 10
    assert "hunter2" not in str(caught.value)
    for unusable in ("mysql://localhost/x", "sqlite://", "no url"):
        with pytest.raises(ConfigError):
            ControlStore.open(unusable)
    (tmp_path / "damaged.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="damaged"):
        ControlStore.open(f"sqlite:///{tmp_path / 'damaged.sqlite'}")


def test_a_deleted_or_replaced_sqlite_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "control.sqlite"
    store = ControlStore.open(f"sqlite:///{path}")
    store.tasks.put(_task("a"))
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    with pytest.raises(StoreError, match="gone"):
        store.policy_version()
    ControlStore.open(f"sqlite:///{path}").close()
    with pytest.raises(StoreError, match="replaced"):
        store.tasks.list()
    store.close()


def test_every_connection_notices_that_a_sqlite_file_was_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "control.sqlite"
    ControlStore.open(f"sqlite:///{path}").close()
    stores = [ControlStore.open(f"sqlite:///{path}") for _ in range(3)]
    assert [store.policy_version() for store in stores] == [0] * 3
    for file in tmp_path.glob("control.sqlite*"):
        file.write_bytes(os.urandom(file.stat().st_size))
    for store in stores:  # the first one to notice makes the memory that they share look well again
        with pytest.raises(StoreError, match="not a database"):
            store.policy_version()
        store.close()
