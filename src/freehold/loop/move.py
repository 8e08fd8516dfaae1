"""Move one task: curate → train → evaluate → certify → promote, as a job whose finished steps are never done again.

Each step takes the results of those before it from the job's record and gives a small result to it; what is large is
stored by the stage. A process that is killed leaves a job that any other can carry on from its last finished step.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import structlog

from freehold.config import Settings
from freehold.curate import build_dataset
from freehold.domain.errors import Conflict, EvidenceError, FreeholdError, NotFound, RightsError
from freehold.domain.events import Event, EventKind, Job, Step
from freehold.domain.ids import new_id
from freehold.domain.tasks import Task, TaskState
from freehold.evaluate import Attempt, Outlook, begin_attempt, certify, outlook
from freehold.promote import promote
from freehold.store import Store, exclusive
from freehold.train import train_student

StepName = Literal["curate", "train", "evaluate", "begin", "certify", "promote"]
STEPS: tuple[StepName, ...] = ("curate", "train", "evaluate", "begin", "certify", "promote")
_AT_ONCE: frozenset[StepName] = frozenset(("begin", "promote"))
"""Steps whose work is a change of the control store: made in one transaction with the record that they are done."""
MIN_CHANCE = 0.8
"""An attempt spends some of δ for good: it is made when it will probably succeed."""
ENOUGH_COVERAGE = 0.5
STALLED_GAIN = 0.02
"""A first promotion waits until the student would answer half of the requests, or has stopped getting better."""
MIN_GROWTH = 1.25
"""After an attempt that failed, the next wants this many times as many certify rows."""
MIN_GAIN = 0.05
"""A new student is tried in place of one in force only if it is predicted to answer at least this much more than that
one was predicted to. Predictions are cautious, so they are compared with each other and not with what was certified."""
_log = structlog.get_logger()


class Move:
    """Runs the steps of one job.

    Args:
        store, settings: where the data are, and how the loop works.
        job: the job's record as stored.
        eager: go on to certify even if the outlook is poor (a person asked for it).
    """

    def __init__(self, store: Store, settings: Settings, job: Job, *, eager: bool = False) -> None:
        self._store = store
        self._settings = settings
        self._eager = eager
        self._told: list[Event] = []
        self.job = job

    def run(self, until: StepName = "promote") -> Job:
        """Do what is not done yet, up to and including `until`; the job's record tells how it ended.

        Raises:
            Conflict: another process moves this task now (LeaseHeld), or changed the same thing first; the job stays
                as it is, to be carried on.
            FreeholdError: a step failed; the job is stored as failed with the reason.
        """
        # The lock outlives no process, and the job is read under it: two never do one step.
        with exclusive(self._store.data / "locks" / f"move-{self.job.task}.lock"):
            self.job = self._store.control.jobs.get(self.job.job_id) or self.job
            return self._run(until) if self.job.state == "running" else self.job

    def _run(self, until: StepName) -> Job:
        steps: dict[StepName, Callable[[], Any]] = {
            "curate": self._curate,
            "train": self._train,
            "evaluate": self._evaluate,
            "begin": self._begin,
            "certify": self._certify,
            "promote": self._promote,
        }
        try:
            for name in STEPS[: STEPS.index(until) + 1]:
                if self._stopped():
                    return self._finish("done")
                self._step(name, steps[name])
        except Conflict:
            raise
        except FreeholdError as error:
            self.fail(error)
            raise
        return self._finish("done") if until == "promote" or self._stopped() else self.job

    def result(self, name: StepName) -> Any:
        """What a finished step gave; None if it is not finished."""
        return next((step.result for step in self.job.steps if step.name == name), None)

    def _step(self, name: StepName, work: Callable[[], Any]) -> None:
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

    def _stopped(self) -> bool:
        """Whether a finished step said that there is no point in going on."""
        view, attempt = self.result("evaluate"), self.result("certify")
        unpromising = view is not None and not view["promising"] and not self._eager
        return unpromising or (attempt is not None and attempt["certificate"] is None)

    def _finish(self, state: Literal["done", "failed"], error: str = "") -> Job:
        self.job = msgspec.structs.replace(self.job, state=state, error=error, updated_ns=time.time_ns())
        self._store.control.jobs.put(self.job)
        return self.job

    def _task(self) -> Task:
        task = self._store.control.tasks.get(self.job.task)
        if task is None:
            raise NotFound(f"There is no task {self.job.task}.", "`freehold tasks` lists them.")
        return task

    def _curate(self) -> dict[str, Any]:
        dataset = build_dataset(self._store, self._settings, self.job.task, time.time_ns())
        left = sum(dataset.left_out.values())
        message = f"{dataset.rows} samples, {left} left out."
        self._event("dataset-built", message, {"dataset": dataset.dataset_id, **dataset.parts, **dataset.left_out})
        return {"dataset": dataset.dataset_id, "rows": dataset.rows}

    def _train(self) -> dict[str, Any]:
        student = train_student(self._store, self._settings, self.result("curate")["dataset"], time.time_ns())
        agreement = student.metrics["cross_fitted_agreement"]
        message = f"Student {student.student_id}: {agreement:.1%} agreement on rows it had not seen."
        self._event("student-trained", message, {"student": student.student_id, **student.metrics})
        return {"student": student.student_id, "agreement": agreement}

    def _evaluate(self) -> dict[str, Any]:
        view = outlook(self._store, self.result("train")["student"])
        reason = self._why_not(view)
        message = reason or (
            f"Predicted to answer {view.coverage:.0%} of requests at a loss of {view.loss:.1%} "
            f"({view.chance:.0%} chance of a certificate)."
        )
        self._event("evaluated", message, {"coverage": view.coverage, "chance": view.chance})
        if reason:
            self._note(reason)
        return {"promising": not reason, "reason": reason, "view": msgspec.to_builtins(view)}

    def _why_not(self, view: Outlook) -> str:
        """Why certifying is not worth an attempt now; empty if it is."""
        if not view.above_floor:
            return f"ε is {view.epsilon:.1%}, but the incumbent differs from itself in {view.floor:.1%}: not tried."
        if view.chance < MIN_CHANCE:
            more = f"about {view.needed} more certify rows" if view.needed else "a better student"
            return f"Not enough evidence yet: {view.agreement:.0%} agreement, wants {more}."
        in_force = self._store.control.current_policy().tasks.get(view.task)
        if in_force is not None and in_force.rungs:
            before = outlook_of(self._store, in_force.rungs[0].certificate)
            if before is not None and view.coverage < before.coverage + MIN_GAIN:
                return (
                    f"In force: a student that was predicted to answer {before.coverage:.0%} of requests; "
                    f"a new one would answer {view.coverage:.0%}."
                )
            return ""
        if view.coverage < ENOUGH_COVERAGE and view.coverage > self._coverage_before() + STALLED_GAIN:
            return (
                f"Would answer {view.coverage:.0%} of requests, and still grows: before a promotion every answer is "
                "evidence, after it only audits are."
            )
        rows = self._task().rows_at_attempt
        if view.certify_rows < MIN_GROWTH * rows:
            return f"The last attempt had {rows} certify rows; the next wants {MIN_GROWTH * rows:.0f}."
        return ""

    def _coverage_before(self) -> float:
        """The coverage predicted when the task was last looked at; 0 if it was not."""
        jobs = self._store.control.jobs.list(newest_first=True)
        earlier = (job for job in jobs if job.task == self.job.task and job.job_id != self.job.job_id)
        return next((view.coverage for job in earlier if (view := _view_in(job)) is not None), 0.0)

    def _begin(self) -> dict[str, Any]:
        return {"attempt": begin_attempt(self._store, self._view())}

    def _view(self) -> Outlook:
        return msgspec.convert(self.result("evaluate")["view"], Outlook)

    def _certify(self) -> Attempt:
        attempt = certify(self._store, self._view(), self.result("begin")["attempt"], time.time_ns())
        if attempt.certificate is None:
            self._event("not-certified", f"Attempt {attempt.number}: {attempt.reason}", {})
            self._note(f"Attempt {attempt.number} was not certified: {attempt.reason}")
        else:
            message = f"Attempt {attempt.number}: certified; {len(attempt.tested)} thresholds were tested."
            self._event("certified", message, {"certificate": attempt.certificate})
        return attempt

    def _promote(self) -> dict[str, Any]:
        policy = promote(self._store, self._settings, self.result("certify")["certificate"], time.time_ns())
        return {"policy": policy.version}

    def fail(self, error: FreeholdError) -> None:
        """Store the job as failed, and say why where people look: in the task's note, and as an event."""
        self._told.clear()
        task = self._store.control.tasks.get(self.job.task)
        with self._store.control.transaction():
            if task is not None and isinstance(error, RightsError):
                self._note(str(error), "blocked" if task.state != "owned" else None)
                self._event("rights-blocked", str(error), {})
            elif task is not None:
                self._note(str(error))
                if not isinstance(error, EvidenceError):
                    self._event("job-failed", str(error), {"job": self.job.job_id})
            for event in self._told:
                self._store.control.add_event(event)
            self._finish("failed", str(error))

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


def new_move(store: Store, task_id: str) -> Job:
    """Store a fresh job that moves a task."""
    now = time.time_ns()
    job = Job(job_id=new_id("job"), kind="move", task=task_id, state="running", created_ns=now, updated_ns=now)
    store.control.jobs.put(job)
    return job


def open_move(store: Store, task_id: str) -> Job | None:
    """The newest unfinished job of a task, to carry on with; None if there is none."""
    jobs = [job for job in store.control.jobs.list(newest_first=True) if job.task == task_id]
    return jobs[0] if jobs and jobs[0].state == "running" else None


def latest_outlook(store: Store, task_id: str) -> Outlook | None:
    """What was expected of the task's newest student that was evaluated; None before the first."""
    jobs = (job for job in store.control.jobs.list(newest_first=True) if job.task == task_id)
    return next((view for job in jobs if (view := _view_in(job)) is not None), None)


def outlook_of(store: Store, certificate_id: str) -> Outlook | None:
    """What was expected of a certified student before it was certified; None if its job is gone."""
    for job in store.control.jobs.list(newest_first=True):
        if any(step.name == "certify" and step.result["certificate"] == certificate_id for step in job.steps):
            return _view_in(job)
    return None


def _view_in(job: Job) -> Outlook | None:
    return next((msgspec.convert(step.result["view"], Outlook) for step in job.steps if step.name == "evaluate"), None)
