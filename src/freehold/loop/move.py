"""Move one task to a student: curate → train → evaluate → certify → promote, step by step (see `Stepwise`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from freehold.curate import build_dataset
from freehold.curate.poisoning.planted import ask_for_canaries
from freehold.domain.events import Job
from freehold.domain.evidence import Student
from freehold.evaluate import Attempt, Outlook, begin_attempt, certify, denied_cost, outlook
from freehold.evaluate.left_out import in_words as denied_in_words
from freehold.loop.appraisal import appraise
from freehold.loop.steps import Stepwise, job_of_certificate, jobs_of, new_job, open_job, result_of
from freehold.loop.telling import Telling
from freehold.promote import promote
from freehold.store import Store
from freehold.train import train_student
from freehold.train.left_out import in_words as left_out_in_words

SEEN_BY = {"classifier": "cross_fitted_agreement", "generative": "tune_agreement"}
"""Kind of student → its metric that says how often it agrees with the incumbent on rows that it was not fitted on."""
KIND = "move"
"""Of its jobs."""
StepName = Literal["curate", "train", "evaluate", "begin", "certify", "promote"]
STEPS: tuple[StepName, ...] = ("curate", "train", "evaluate", "begin", "certify", "promote")
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


class Move(Stepwise):
    """Runs the steps of one job; see `Stepwise`. An eager one goes on to certify even if the outlook is poor, but never
    with a student that has lost the incumbent's guards."""

    @property
    def _steps(self) -> dict[str, Callable[[], Any]]:
        return {
            "curate": self._curate,
            "train": self._train,
            "evaluate": self._evaluate,
            "begin": self._begin,
            "certify": self._certify,
            "promote": self._promote,
        }

    def _stopped(self) -> bool:
        """Whether a finished step said that there is no point in going on."""
        view, attempt = self.result("evaluate"), self.result("certify")
        unpromising = view is not None and not view["promising"] and not self._eager
        unsafe = view is not None and view.get("unsafe", False)
        return unpromising or unsafe or (attempt is not None and attempt["certificate"] is None)

    def _curate(self) -> dict[str, Any]:
        dataset = build_dataset(self._store, self._settings, self.job.task, time.time_ns())
        left = sum(dataset.left_out.values())
        message = f"{dataset.rows} samples, {left} left out."
        self._event("dataset-built", message, {"dataset": dataset.dataset_id, **dataset.parts, **dataset.left_out})
        return {"dataset": dataset.dataset_id, "rows": dataset.rows}

    def _train(self) -> dict[str, Any]:
        dataset = self.result("curate")["dataset"]
        student = train_student(self._store, self._settings, dataset, time.time_ns(), Telling(self._note, self._watch))
        agreement = student.metrics[SEEN_BY[student.kind]]
        message = f"Student {student.student_id}: {agreement:.1%} agreement on rows it had not seen."
        message = f"{message} {left_out_in_words(student.metrics)}".rstrip()
        self._event("student-trained", message, {"student": student.student_id, **student.metrics})
        self._look_for_canaries(student)
        return {"student": student.student_id, "agreement": agreement}

    def _look_for_canaries(self, student: Student) -> None:
        if not self._settings.curate.canaries:
            return
        report = ask_for_canaries(self._store, student)
        if report.learned:
            message = (
                f"Student {student.student_id} gives the planted answer to {report.answered} of {report.planted} "
                f"canaries, where chance gives {report.expected:.0%}: it has memorised single rows."
            )
            self._event("canaries-learned", message, {"student": student.student_id, **report._asdict()})

    def _evaluate(self) -> dict[str, Any]:
        student = self.result("train")["student"]
        view = outlook(self._store, student)
        cost = denied_cost(self._store, student)
        unsafe = self._unsafe(view)
        reason = unsafe or self._why_not(view)
        message = reason or (
            f"Predicted to answer {view.coverage:.0%} of requests at a loss of {view.loss:.1%} "
            f"({view.chance:.0%} chance of a certificate)."
        )
        if cost is not None:
            message = f"{message} {denied_in_words(cost)}"
        denied = None if cost is None else msgspec.to_builtins(cost)
        self._event("evaluated", message, {"coverage": view.coverage, "chance": view.chance, "denied": denied})
        if reason:
            self._note(reason)
        seen = {"promising": not reason, "reason": reason, "view": msgspec.to_builtins(view), "denied": denied}
        return {**seen, "unsafe": bool(unsafe)} if unsafe else seen

    def _unsafe(self, view: Outlook) -> str:
        """Why a generative student must not be promoted, however well it answers; empty if it may be."""
        student = self._store.control.students.get(view.student)
        if student is None or student.kind == "classifier":
            return ""
        report = appraise(self._store, self._settings, view, time.time_ns())
        failures = report.failures if self._settings.students.safety.enabled else ()
        return " ".join(f"{check.sentence} {check.hint}" for check in failures)

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
        if in_force is not None and in_force.ladder is not None:
            job = job_of_certificate(self._store, "ladder", in_force.ladder.certificate)
            saving = 0.0 if job is None else float(result_of(job, "lay")["saving"])
            if view.coverage < saving + MIN_GAIN:
                return (
                    f"In force: a ladder that was predicted to save {saving:.0%} of the dollars; a new student would "
                    f"answer {view.coverage:.0%} of requests."
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
        jobs = jobs_of(self._store, KIND, self.job.task)
        earlier = (job for job in jobs if job.job_id != self.job.job_id)
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


def new_move(store: Store, task_id: str) -> Job:
    """Store a fresh job that moves a task."""
    return new_job(store, KIND, task_id)


def open_move(store: Store, task_id: str) -> Job | None:
    """The newest unfinished job of a task, to carry on with; None if there is none."""
    return open_job(store, KIND, task_id)


def latest_outlook(store: Store, task_id: str) -> Outlook | None:
    """What was expected of the task's newest student that was evaluated; None before the first."""
    return next((view for job in jobs_of(store, KIND, task_id) if (view := _view_in(job)) is not None), None)


def outlook_of(store: Store, certificate_id: str) -> Outlook | None:
    """What was expected of a certified student before it was certified; None if its job is gone."""
    job = job_of_certificate(store, KIND, certificate_id)
    return None if job is None else _view_in(job)


def _view_in(job: Job) -> Outlook | None:
    result = result_of(job, "evaluate")
    return None if result is None else msgspec.convert(result["view"], Outlook)
