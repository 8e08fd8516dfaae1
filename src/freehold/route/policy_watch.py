"""Keeps policy and exit drill in force at hand: polls the store from a thread, so that no request ever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from freehold.domain.drills import Drill
from freehold.domain.errors import FreeholdError, StoreError
from freehold.domain.events import Event, EventKind
from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.ids import content_id
from freehold.domain.policy import Ladder, Policy, Rung, TaskPolicy
from freehold.route.ladder import LoadedLadder
from freehold.route.policy_view import PolicyView, StudentKey, key_of
from freehold.route.student import Gate, Student

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

    def drill_in_force(self, now_ns: int) -> Drill | None:
        """The exit drill that reroutes requests at this time; cheap."""
        ...

    def add_event(self, event: Event) -> bool:
        """Keep an event; False if one of its id is there already."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class PolicyWatch:
    """One per worker. `view`, `drill` and `stale` are read by the event loop, replaced by the thread."""

    def __init__(
        self,
        open_source: Callable[[], PolicySource],
        data_dir: Path,
        load_student: Callable[[Path, str], Student | Gate],
        load_ladder: Callable[[Ladder], LoadedLadder],
        *,
        poll_seconds: float = 0.5,
        lease_seconds: float = 2.0,
    ) -> None:
        """`open_source`, `load_student` and `load_ladder` are called in the thread; the two raise StudentError."""
        self.view = PolicyView(Policy(), TemplateIndex(()), {})
        self.drill: Drill | None = None
        """The exit drill that was in force at the last poll; see `drill_now`."""
        self.error: str | None = "The control store has not been read yet."
        """Why the last poll failed; None after one that did not."""
        self._open_source = open_source
        self._data_dir = data_dir
        self._load_student = load_student
        self._load_ladder = load_ladder
        self._poll = poll_seconds
        self._lease = lease_seconds
        self._fresh_until = 0.0
        self._source: PolicySource | None = None
        self._seen: dict[StudentKey, FileMarks] = {}
        self._ladders_seen: dict[str, tuple[FileMarks, ...]] = {}
        self._ladders_again = threading.Event()
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
    def drill_now(self) -> Drill | None:
        """The exit drill in force. None without news from the store: it may have been stopped, and is then over."""
        return None if self.drill is None or self.stale else self.drill

    @property
    def polled(self) -> bool:
        """Whether the first poll is over, well or badly."""
        return self._polled.is_set()

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def use(self, load_ladder: Callable[[Ladder], LoadedLadder]) -> None:
        """Load ladders so from the next poll on, those in force too: upstreams have changed."""
        self._load_ladder = load_ladder
        self._ladders_again.set()

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
            drill = self._source.drill_in_force(time.time_ns())
        except FreeholdError as error:
            if self.error is None:
                _log.warning("policy-watch-failed", error=str(error), lease_seconds=self._lease)
            self.error = str(error)
            return
        if changed:
            self._adopt(policy)
        if drill != self.drill:
            self.drill = drill
            _log.info("drill-adopted", drill=drill.drill_id if drill is not None else None)
        self._fresh_until = asked + self._lease
        self.error = None
        self._check_students()
        self._check_ladders()

    def _adopt(self, policy: Policy) -> None:
        """Put the policy in force with the students and ladders at hand: a rollback never waits for others to load."""
        old = self.view
        wanted = {key_of(rung) for task in policy.tasks.values() for rung in task.rungs}
        kept = {key: student for key, student in old.students.items() if key in wanted}
        same = policy.templates == old.policy.templates
        index = old.index if same else TemplateIndex(policy.templates)
        self._seen = {key: marks for key, marks in self._seen.items() if key in wanted}
        same_ladder = {
            task for task, entry in policy.tasks.items() if entry.ladder and entry.ladder == _ladder_of(old, task)
        }
        ladders = {task: loaded for task, loaded in old.ladders.items() if task in same_ladder}
        self._ladders_seen = {task: marks for task, marks in self._ladders_seen.items() if task in same_ladder}
        self.view = PolicyView(policy, index, kept, old.damaged & wanted, ladders, old.unusable & same_ladder)
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
            self._report("student-damaged", task, rung.student, rung.certificate, error)
        else:
            _log.info("student-loaded", task=task, student=rung.student)
        self.view = PolicyView(view.policy, view.index, students, damaged, view.ladders, view.unusable)

    def _check_ladders(self) -> None:
        """Load ladders that are new or whose files have changed; all of them after `use`."""
        if self._ladders_again.is_set():
            self._ladders_again.clear()
            self._ladders_seen = {}
        for entry in self.view.policy.tasks.values():
            if entry.ladder is not None:
                folders = (entry.ladder.path, *(model.path for model in entry.ladder.models if model.path))
                marks = tuple(_marks(self._data_dir / folder) for folder in folders)
                if self._ladders_seen.get(entry.task) != marks:
                    self._ladders_seen[entry.task] = marks
                    self._load_whole(entry, entry.ladder)

    def _load_whole(self, entry: TaskPolicy, ladder: Ladder) -> None:
        view = self.view
        ladders = {task: loaded for task, loaded in view.ladders.items() if task != entry.task}
        unusable = view.unusable - {entry.task}
        try:
            ladders[entry.task] = self._load_ladder(ladder)
        except FreeholdError as error:
            unusable |= {entry.task}
            self._report("ladder-unusable", entry.task, ladder.router, ladder.certificate, error)
        else:
            _log.info("ladder-loaded", task=entry.task, router=ladder.router)
        self.view = PolicyView(view.policy, view.index, view.students, view.damaged, ladders, unusable)

    def _report(self, kind: EventKind, task: str, name: str, certificate: str, error: FreeholdError) -> None:
        """Say so once, in the log and as an event: its id is made of what happened, so all workers write the same."""
        what = "student" if kind == "student-damaged" else "router"
        _log.error(kind, task=task, error=str(error), **{what: name})
        version = self.view.policy.version
        event = Event(
            event_id=content_id("ev", kind.encode(), name.encode(), str(version).encode()),
            at_ns=time.time_ns(),
            kind=kind,
            task=task,
            message=f"{error} Its requests go to the incumbent.",
            evidence={what: name, "certificate": certificate, "policy": version},
        )
        try:
            if self._source is not None:
                self._source.add_event(event)
        except StoreError as failure:
            _log.warning("event-not-kept", event_id=event.event_id, error=str(failure))


def _ladder_of(view: PolicyView, task: str) -> Ladder | None:
    entry = view.policy.tasks.get(task)
    return entry.ladder if entry is not None else None


def _marks(folder: Path) -> FileMarks:
    """The marks of a student's files; empty if the folder is not there."""
    try:
        stats = [(path.name, path.stat()) for path in folder.iterdir()]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
