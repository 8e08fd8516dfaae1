"""Keeps the policy in force at hand: polls the control store from a thread, so that no request ever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from freehold.domain.errors import FreeholdError, StoreError
from freehold.domain.events import Event
from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.ids import content_id
from freehold.domain.policy import Policy, Rung
from freehold.route.policy_view import PolicyView, Student, StudentKey, key_of

_log = structlog.get_logger()

FileMarks = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file of a student: when they change, its hashes are checked again."""


class PolicySource(Protocol):
    """What the watch asks of the control store; every method may raise StoreError."""

    def policy_version(self) -> int:
        """The version in force; cheap."""
        ...

    def current_policy(self) -> Policy:
        """The policy in force."""
        ...

    def add_event(self, event: Event) -> bool:
        """Keep an event; False if one of its id is there already."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class PolicyWatch:
    """One per worker. `view` and `stale` are read by the event loop, replaced by the thread."""

    def __init__(
        self,
        open_source: Callable[[], PolicySource],
        data_dir: Path,
        load_student: Callable[[Path, str], Student],
        *,
        poll_seconds: float = 0.5,
        lease_seconds: float = 2.0,
    ) -> None:
        """`open_source` and `load_student` are called in the thread; the latter raises StudentError."""
        self.view = PolicyView(Policy(), TemplateIndex(()), {})
        self.error: str | None = "The control store has not been read yet."
        """Why the last poll failed; None after one that did not."""
        self._open_source = open_source
        self._data_dir = data_dir
        self._load_student = load_student
        self._poll = poll_seconds
        self._lease = lease_seconds
        self._fresh_until = 0.0
        self._source: PolicySource | None = None
        self._seen: dict[StudentKey, FileMarks] = {}
        self._stop = threading.Event()
        self._polled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy-watch", daemon=True)

    @property
    def stale(self) -> bool:
        """Whether the lease has run out: a rollback may be waiting that we cannot see, so no student may answer.

        Read off the clock, so that it holds even while the thread hangs in the database.
        """
        return time.monotonic() > self._fresh_until

    @property
    def polled(self) -> bool:
        """Whether the first poll is over, well or badly."""
        return self._polled.is_set()

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def wait_polled(self, timeout: float) -> bool:
        """Wait until the first poll is over, well or badly; False after `timeout` seconds."""
        return self._polled.wait(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        """Stop polling; a thread that hangs in the database is left behind after `timeout` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception:  # noqa: BLE001 - logged; the lease runs out, and the next poll may succeed
                _log.exception("policy-watch-failed")
            self._polled.set()
            self._stop.wait(self._poll)
        if self._source is not None:
            self._source.close()

    def _look(self) -> None:
        """One poll. Time counts from before the question: the answer may have been true only then."""
        asked = time.monotonic()
        try:
            if self._source is None:
                self._source = self._open_source()
            version = self._source.policy_version()
            changed = version != self.view.policy.version
            policy = self._source.current_policy() if changed else self.view.policy
        except FreeholdError as error:
            if self.error is None:
                _log.warning("policy-watch-failed", error=str(error), lease_seconds=self._lease)
            self.error = str(error)
            return
        if changed:
            self._adopt(policy)
        self._fresh_until = asked + self._lease
        self.error = None
        self._check_students()

    def _adopt(self, policy: Policy) -> None:
        """Put the policy in force with the students at hand: a rollback never waits for another student to load."""
        old = self.view
        wanted = {key_of(rung) for task in policy.tasks.values() for rung in task.rungs}
        kept = {key: student for key, student in old.students.items() if key in wanted}
        same = policy.templates == old.policy.templates
        index = old.index if same else TemplateIndex(policy.templates)
        self._seen = {key: marks for key, marks in self._seen.items() if key in wanted}
        self.view = PolicyView(policy, index, kept, old.damaged & wanted)
        _log.info("policy-adopted", version=policy.version, reason=policy.reason)

    def _check_students(self) -> None:
        """Load students that are new or whose files have changed."""
        for task in self.view.policy.tasks.values():
            for rung in task.rungs:
                marks = _marks(self._data_dir / rung.path)
                if self._seen.get(key_of(rung)) != marks:
                    self._seen[key_of(rung)] = marks
                    self._load(task.task, rung)

    def _load(self, task: str, rung: Rung) -> None:
        view, key = self.view, key_of(rung)
        students = {known: student for known, student in view.students.items() if known != key}
        damaged = view.damaged - {key}
        try:
            students[key] = self._load_student(self._data_dir / rung.path, rung.sha256)
        except FreeholdError as error:
            damaged |= {key}
            self._report(task, rung, error)
        else:
            _log.info("student-loaded", task=task, student=rung.student)
        self.view = PolicyView(view.policy, view.index, students, damaged)

    def _report(self, task: str, rung: Rung, error: FreeholdError) -> None:
        """Say so once, in the log and as an event: its id is made of what happened, so all workers write the same."""
        _log.error("student-damaged", task=task, student=rung.student, error=str(error))
        version = self.view.policy.version
        event = Event(
            event_id=content_id("ev", b"student-damaged", rung.student.encode(), str(version).encode()),
            at_ns=time.time_ns(),
            kind="student-damaged",
            task=task,
            message=f"{error} Its requests go to the incumbent.",
            evidence={"student": rung.student, "certificate": rung.certificate, "policy": version},
        )
        try:
            if self._source is not None:
                self._source.add_event(event)
        except StoreError as failure:
            _log.warning("event-not-kept", event_id=event.event_id, error=str(failure))


def _marks(folder: Path) -> FileMarks:
    """The marks of a student's files; empty if the folder is not there."""
    try:
        stats = [(path.name, path.stat()) for path in folder.iterdir()]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
