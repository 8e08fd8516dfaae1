"""A job of several steps, whose finished steps are never done again.

Each step takes the results of those before it from the job's record and gives a small result to it; what is large is
stored by the stage. A process that is killed leaves a job that any other can carry on from its last finished step.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import structlog

from freehold.config import Settings
from freehold.domain.errors import Conflict, EvidenceError, FreeholdError, NotFound, RightsError, RightsPending
from freehold.domain.events import Event, EventKind, Job, Step
from freehold.domain.ids import new_id
from freehold.domain.tasks import Task, TaskState
from freehold.promote import rights_mark
from freehold.store import Store, exclusive
from freehold.train.progress import Progress, ignore

_AT_ONCE = frozenset(("begin", "promote"))
"""Steps whose work is a change of the control store: made in one transaction with the record that they are done."""
RIGHTS = "rights"
"""Parameter of a waiting job: the mark of what was known of rights when it was last refused."""
OPEN = frozenset(("running", "waiting"))
"""States of jobs that can be carried on."""
_log = structlog.get_logger()


class Stepwise(ABC):
    """Runs the steps of one job. A task has one such job under way at a time, of whatever kind.

    Args:
        store, settings: where the data are, and how the loop works.
        job: the job's record as stored.
        eager: go on even if the outlook is poor (a person asked for it).
        watch: told how far training is.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        job: Job,
        *,
        eager: bool = False,
        watch: Callable[[Progress], None] = ignore,
    ) -> None:
        self._store = store
        self._settings = settings
        self._eager = eager
        self._watch = watch
        self._told: list[Event] = []
        self.job = job

    @property
    @abstractmethod
    def _steps(self) -> Mapping[str, Callable[[], Any]]:
        """Every step's work by its name, in order; the last one promotes."""

    @abstractmethod
    def _stopped(self) -> bool:
        """Whether a finished step said that there is no point in going on."""

    def run(self, until: str = "promote") -> Job:
        """Do what is not done yet, up to and including `until`; the job's record tells how it ended.

        Raises:
            Conflict: another process moves this task now (LeaseHeld), or changed the same thing first; the job stays
                as it is, to be carried on.
            RightsPending: a duty is to be fulfilled first, or counsel is to decide; the job is stored as waiting.
            FreeholdError: a step failed; the job is stored as failed with the reason.
        """
        # The lock outlives no process, and the job is read under it: two never do one step.
        with exclusive(self._store.data / "locks" / f"move-{self.job.task}.lock"):
            self.job = self._store.control.jobs.get(self.job.job_id) or self.job
            return self._run(until) if self.job.state in OPEN else self.job

    def _run(self, until: str) -> Job:
        names = list(self._steps)
        known = rights_mark(self._store, self._settings)  # before the steps ask: what comes in meanwhile counts as new
        if self.job.state == "waiting":
            self._put("running")
        try:
            for name in names[: names.index(until) + 1]:
                if self._stopped():
                    return self._put("done")
                self._step(name, self._steps[name])
        except Conflict:
            raise
        except RightsPending as error:
            self._wait(error, known)
            raise
        except FreeholdError as error:
            self.fail(error)
            raise
        return self._put("done") if until == names[-1] or self._stopped() else self.job

    def result(self, name: str) -> Any:
        """What a finished step gave; None if it is not finished."""
        return result_of(self.job, name)

    def _step(self, name: str, work: Callable[[], Any]) -> None:
        if any(step.name == name for step in self.job.steps):
            return
        self._told.clear()
        started = time.monotonic()
        # Counting an attempt, or promoting, and then dying before it is recorded would do it twice.
        with self._store.control.transaction() if name in _AT_ONCE else contextlib.nullcontext():
            result = msgspec.to_builtins(work())
            step = Step(name=name, result=result, at_ns=time.time_ns(), seconds=time.monotonic() - started)
            job = self._recorded(step)
        self.job = job
        _log.info("step finished", job=self.job.job_id, task=self.job.task, step=name, seconds=round(step.seconds, 2))

    def _recorded(self, step: Step) -> Job:
        job = msgspec.structs.replace(self.job, steps=(*self.job.steps, step), updated_ns=step.at_ns)
        with self._store.control.transaction():
            for event in self._told:
                self._store.control.add_event(event)
            self._store.control.jobs.put(job)
        return job

    def _put(self, state: Literal["running", "waiting", "done", "failed"], error: str = "") -> Job:
        self.job = msgspec.structs.replace(self.job, state=state, error=error, updated_ns=time.time_ns())
        self._store.control.jobs.put(self.job)
        return self.job

    def _task(self) -> Task:
        task = self._store.control.tasks.get(self.job.task)
        if task is None:
            raise NotFound(f"There is no task {self.job.task}.", "`freehold tasks` lists them.")
        return task

    def fail(self, error: FreeholdError) -> None:
        """Store the job as failed, and say why where people look: in the task's note, and as an event."""
        self._told.clear()
        task = self._store.control.tasks.get(self.job.task)
        with self._store.control.transaction():
            if task is not None and isinstance(error, RightsError):
                self._block(task, error)
            elif task is not None:
                self._note(str(error))
                if not isinstance(error, EvidenceError):
                    self._event("job-failed", str(error), {"job": self.job.job_id})
            for event in self._told:
                self._store.control.add_event(event)
            self._put("failed", str(error))

    def _wait(self, error: RightsPending, known: str) -> None:
        """Keep the job until something that is known of rights has changed, and say what it waits for."""
        self._told.clear()
        with self._store.control.transaction():
            self._block(self._task(), error)
            for event in self._told:
                self._store.control.add_event(event)
            self.job = msgspec.structs.replace(self.job, params={**self.job.params, RIGHTS: known})
            self._put("waiting", str(error))

    def _block(self, task: Task, error: RightsError) -> None:
        self._note(str(error), "blocked" if task.state != "owned" else None)
        self._event("rights-blocked", str(error), {})

    def _note(self, note: str, state: TaskState | None = None) -> None:
        changes: dict[str, Any] = {"note": note} if state is None else {"note": note, "state": state}
        self._store.control.tasks.change(self.job.task, lambda task: msgspec.structs.replace(task, **changes))

    def _event(self, kind: EventKind, message: str, evidence: dict[str, Any]) -> None:
        """Say what happened; stored together with the step's record, so that it is said once."""
        event = Event(
            event_id=new_id("ev"),
            at_ns=time.time_ns(),
            kind=kind,
            task=self.job.task,
            message=message,
            evidence=evidence,
        )
        self._told.append(event)


def result_of(job: Job, name: str) -> Any:
    """What a job's finished step gave; None if it is not finished."""
    return next((step.result for step in job.steps if step.name == name), None)


def new_job(store: Store, kind: str, task_id: str) -> Job:
    """Store a fresh job of a task, in place of one that waits."""
    now = time.time_ns()
    job = Job(job_id=new_id("job"), kind=kind, task=task_id, state="running", created_ns=now, updated_ns=now)
    with store.control.transaction():
        for old in waiting_jobs(store, task_id):
            ended = msgspec.structs.replace(old, state="failed", error="A newer job took its place.", updated_ns=now)
            store.control.jobs.put(ended)
        store.control.jobs.put(job)
    return job


def waiting_jobs(store: Store, task_id: str | None = None) -> list[Job]:
    """Jobs (of a task) that wait for a duty to be fulfilled, or for counsel; oldest first."""
    return [job for job in store.control.jobs.list(task_id) if job.state == "waiting"]


def jobs_of(store: Store, kind: str, task_id: str) -> list[Job]:
    """A task's jobs of one kind, newest first."""
    jobs = store.control.jobs.list(task_id, newest_first=True)
    return [job for job in jobs if job.kind == kind]


def open_job(store: Store, kind: str, task_id: str) -> Job | None:
    """The newest job of this kind, to carry on with; None if there is none that is unfinished."""
    newest = next(iter(jobs_of(store, kind, task_id)), None)
    return newest if newest is not None and newest.state in OPEN else None


def job_of_certificate(store: Store, kind: str, certificate_id: str) -> Job | None:
    """The job of this kind that gave a certificate; None if it is gone."""
    for job in store.control.jobs.list(newest_first=True):
        given = result_of(job, "certify") if job.kind == kind else None
        if given is not None and given["certificate"] == certificate_id:
            return job
    return None
