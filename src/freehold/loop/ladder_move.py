"""Move one task to a ladder of several models: curate → lay → begin → certify → promote, step by step.

The evidence are requests of the incumbent's that all candidates were asked about as well. A student that the
organisation owns is a candidate too: it answers these requests here, off the hot path, at no cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from freehold.curate import ScoredSet, build_scored, load_outcomes, scorer_of
from freehold.domain.events import Job
from freehold.domain.evidence import Student
from freehold.domain.ids import new_id
from freehold.domain.policy import TaskPolicy
from freehold.domain.tasks import Task, TaskState
from freehold.evaluate import (
    LadderAttempt,
    LaidPlan,
    begin_ladder_attempt,
    certify_ladder,
    ladder_terms,
    self_disagreement,
)
from freehold.evaluate.ladder import lay_walk
from freehold.evaluate.losses import described
from freehold.loop.asking import asking_in_time
from freehold.loop.ladders import MIN_EACH, LaidLadder, Parts, Terms, fit_evidence, lay_ladder, router_at
from freehold.loop.move import MIN_GAIN, MIN_GROWTH, outlook_of
from freehold.loop.steps import Stepwise, job_of_certificate, jobs_of, new_job, open_job, result_of
from freehold.promote import promote
from freehold.signals.embed import SentenceEmbedder, embedder_for, load_embedder
from freehold.signals.outcomes import Outcomes
from freehold.signals.router import Signal
from freehold.signals.text import HashedText, hash_all
from freehold.stats import spent_delta
from freehold.store import Store
from freehold.store.artifacts import read_router, write_router
from freehold.train.ladder import prepare

KIND = "ladder"
"""Of its jobs."""
LADDER_STEPS = ("curate", "lay", "begin", "certify", "promote")
MIN_SAVING = 0.05
"""A ladder predicted to save a smaller share of the dollars is not worth an attempt."""
FEW = 200
"""Estimates fitted on fewer rows may not tell requests apart yet that they will."""
_CERTIFIES = 0.54
"""Share of the requests that certify; a little less where a student is a candidate."""
_MOVED = 0.5
"""Share of requests supposed to move, where nothing is known yet."""
_MOST = 1024
"""Evidence is not foreseen beyond this many times what there is."""


class LaidView(msgspec.Struct, frozen=True):
    """What is expected of the best ladder that fit and tune rows show."""

    promising: bool
    reason: str
    """Why an attempt is not worth its share of δ now; empty if it is."""
    rows: int
    saving: float
    """Predicted share of the dollars that will probably be certified; 0 if none will."""
    rungs: tuple[str, ...]
    signal: str
    needed: int | None
    """Requests in all at which an attempt will probably be worth making; None: no number will do, or it is already."""
    plan: LaidPlan | None


class _Looks(NamedTuple):
    """What a ladder may look at."""

    signal: Signal
    sampled: bool
    """Each model of a cascade is asked several times."""


class _Best(NamedTuple):
    looks: _Looks
    ladder: LaidLadder
    saving: float
    """Requests that ask for a stream stay with the incumbent where answers must be seen first."""
    mean_cost: float


class LadderMove(Stepwise):
    """Runs the steps of one job; see `Stepwise`. An eager one goes on to certify even if the outlook is poor."""

    @property
    def _steps(self) -> dict[str, Callable[[], Any]]:
        return {
            "curate": self._curate,
            "lay": self._lay,
            "begin": self._begin,
            "certify": self._certify,
            "promote": self._promote,
        }

    def _stopped(self) -> bool:
        view, attempt = self.result("lay"), self.result("certify")
        if view is not None and (view["plan"] is None or not (view["promising"] or self._eager)):
            return True
        return attempt is not None and attempt["certificate"] is None

    def _curate(self) -> ScoredSet:
        student = candidate_student(self._store, self._task())
        with asking_in_time(self._store, self._settings, self.job.task) as ask:
            found = build_scored(self._store, self._settings, self.job.task, student, time.time_ns(), ask)
        told = {"dataset": found.dataset, "models": list(found.models), **found.parts, **found.left_out}
        message = f"{found.rows} requests with an answer of each of {len(found.models)} models."
        if found.without:
            message += " Not compared: " + "; ".join(f"{name} ({why})" for name, why in found.without.items()) + "."
        self._event("dataset-built", message, told)
        return found

    def _lay(self) -> LaidView:
        found = msgspec.convert(self.result("curate"), ScoredSet)
        outcomes, names = load_outcomes(self._store.data, found.outcomes)
        parts = Parts(*(np.flatnonzero(np.array(names) == part) for part in ("fit", "tune", "certify")))
        task = self._task()
        if min(len(parts.fit), len(parts.certify)) < MIN_EACH or not len(parts.tune):
            needed = self._wanted(task, found.rows)
            view = LaidView(False, _too_few(found.rows, needed), found.rows, 0.0, (), "", needed, None)
        else:
            view = self._laid(task, found, outcomes, parts)
        if view.reason:
            self._note(view.reason)
        told = view.reason or f"{' → '.join(view.rungs)} would save {view.saving:.0%} of the dollars."
        self._event("evaluated", told, {"saving": view.saving, "rungs": list(view.rungs), "signal": view.signal})
        return view

    def _laid(self, task: Task, found: ScoredSet, outcomes: Outcomes, parts: Parts) -> LaidView:
        terms = self._terms(task)
        ways = self._ways()
        texts = hash_all(outcomes.prompts, self._embedder())
        best = max((self._best(outcomes, texts, parts, terms, looks, found.whole) for looks in ways),
                   key=lambda one: one.saving)  # fmt: skip
        needed = None if best.saving > 0.0 else self._needed(task, best, terms, found.rows, parts)
        reason = self._why_not(task, best, found.rows, len(parts.certify), needed)
        laid = best.ladder.laid
        rungs = tuple(found.models[rung] for rung in laid.ladder.rungs)
        plan = self._plan(task, found, best, outcomes) if laid.steps else None
        signal = best.ladder.fitted.signal
        return LaidView(not reason, reason, found.rows, best.saving, rungs, signal, needed, plan)

    def _ways(self) -> list[_Looks]:
        """What is tried: a cascade that asks its models several times must pay for it."""
        ours = self._settings.candidates
        found = [_Looks(signal, False) for signal in ours.signals]
        return found + [_Looks("cascade", True)] * (ours.samples > 1 and "cascade" in ours.signals)

    def _terms(self, task: Task) -> Terms:
        ours = self._settings.candidates
        return Terms(task.epsilon, spent_delta(task.delta, task.attempts + 1), ours.risk, ours.loss)

    def _best(
        self, outcomes: Outcomes, texts: list[HashedText], parts: Parts, terms: Terms, looks: _Looks, whole: float
    ) -> _Best:
        rows = prepare(outcomes, texts, looks.signal, sampled=looks.sampled)
        terms = terms._replace(signal=looks.signal)
        evidence = fit_evidence(rows, parts, terms, seed=self._settings.loop.seed)
        ladder = lay_ladder(evidence, rows, parts, terms)
        saving = ladder.laid.saving * (whole if looks.signal == "cascade" else 1.0)
        return _Best(looks, ladder, saving, rows.mean_cost)

    def _embedder(self) -> SentenceEmbedder | None:
        folder = self._settings.candidates.embedder
        return load_embedder(Path(folder)) if folder else None

    def _needed(self, task: Task, best: _Best, terms: Terms, rows: int, parts: Parts) -> int | None:
        """Requests in all with which the same ladder would probably be worth it, its estimates staying as they are;
        where they were fitted on few rows, they will not."""
        ladder, certify_rows = best.ladder, len(parts.certify)
        growth = 2
        while growth <= _MOST:
            walk = lay_walk(
                ladder.expected,
                ladder.losses,
                ladder.costs,
                ladder.laid.ladder,
                risk=terms.risk,
                epsilon=terms.epsilon,
                delta=terms.delta,
                certify_rows=certify_rows * growth,
            )
            if walk.saving >= MIN_SAVING:
                return rows * growth
            growth *= 2
        return self._wanted(task, rows) if len(parts.fit) < FEW else None

    def _wanted(self, task: Task, rows: int) -> int:
        return max(wanted_rows(task, self._settings.candidates.risk), 2 * rows)

    def _why_not(self, task: Task, best: _Best, rows: int, certify_rows: int, needed: int | None) -> str:
        """Why certifying is not worth an attempt now; empty if it is."""
        floor = self_disagreement(self._store, task.task_id, task.evidence_since_ns)
        if scorer_of(self._settings, task) is None and floor.above(task.epsilon):
            return f"ε is {task.epsilon:.1%}, but the incumbent differs from itself in {floor.rate:.1%}: not tried."
        if best.saving <= 0.0:
            return _too_few(rows, needed)
        if best.saving < MIN_SAVING:
            return f"A ladder would save {best.saving:.1%} of the dollars: not worth an attempt."
        entry = self._store.control.current_policy().tasks.get(task.task_id)
        in_force = 0.0 if entry is None else promised_saving(self._store, entry)
        if in_force and best.saving < in_force + MIN_GAIN:
            return (
                f"In force: what was predicted to save {in_force:.0%} of the dollars; another ladder would save "
                f"{best.saving:.0%}."
            )
        if certify_rows < MIN_GROWTH * task.shadow_rows_at_attempt:
            wanted = MIN_GROWTH * task.shadow_rows_at_attempt
            return f"The last ladder was tried on {task.shadow_rows_at_attempt} requests; the next wants {wanted:.0f}."
        return ""

    def _plan(self, task: Task, found: ScoredSet, best: _Best, outcomes: Outcomes) -> LaidPlan:
        laid, hints = best.ladder.laid, outcomes.hints
        manifest, tensors = router_at(best.ladder, found.models, best.mean_cost, laid.steps[0])
        if best.looks.signal == "cascade" and hints is not None:
            manifest = msgspec.structs.replace(
                manifest,
                samples=hints.samples if best.looks.sampled else 1,
                logprobs=bool(np.isfinite(hints.logprobs).any()),
                validity=bool(np.isfinite(hints.validity).any()),
            )
        if embedder := self._embedder():
            prompts = msgspec.structs.replace(manifest.prompts, embedder=embedder.sha256)
            manifest = msgspec.structs.replace(manifest, prompts=prompts)
        path = f"routers/{new_id('ro')}"
        scorer = scorer_of(self._settings, task)
        loss, test = ladder_terms(scorer, self._settings.candidates.loss)
        floor = self_disagreement(self._store, task.task_id, task.evidence_since_ns)
        return LaidPlan(
            task=task.task_id,
            dataset=found.dataset,
            models=found.models,
            upstreams=found.upstreams,
            router_path=path,
            router_sha256=write_router(self._store.data / path, manifest, tensors),
            steps=tuple((step.price, step.offset) for step in laid.steps),
            moments=laid.moments,
            loss=loss,
            risk=self._settings.candidates.risk,
            test=test,
            scorer=described(scorer),
            epsilon=task.epsilon,
            delta=task.delta,
            self_disagreement=floor.rate,
        )

    def _begin(self) -> dict[str, Any]:
        certify_rows = self.result("curate")["parts"].get("certify", 0)
        return {"attempt": begin_ladder_attempt(self._store, self.job.task, certify_rows)}

    def _certify(self) -> LadderAttempt:
        found = msgspec.convert(self.result("curate"), ScoredSet)
        outcomes, names = load_outcomes(self._store.data, found.outcomes)
        certify = outcomes.take(np.flatnonzero(np.array(names) == "certify"))
        plan = msgspec.convert(self.result("lay")["plan"], LaidPlan)
        number = self.result("begin")["attempt"]
        manifest, _ = read_router(self._store.data / plan.router_path, plan.router_sha256)
        embedder = embedder_for(self._settings.candidates.embedder, manifest)
        attempt = certify_ladder(self._store, plan, certify, number, time.time_ns(), embedder)
        if attempt.certificate is None:
            self._event("not-certified", f"Attempt {attempt.number}, a ladder: {attempt.reason}", {})
            self._note(f"Attempt {attempt.number} was not certified: {attempt.reason}")
        else:
            message = f"Attempt {attempt.number}: a ladder is certified that saved {attempt.saving:.0%} of the dollars."
            self._event("certified", message, {"certificate": attempt.certificate})
        return attempt

    def _promote(self) -> dict[str, Any]:
        policy = promote(self._store, self._settings, self.result("certify")["certificate"], time.time_ns())
        return {"policy": policy.version}

    def _note(self, note: str, state: TaskState | None = None) -> None:
        """What stands in a ladder's way is no news of a task that is owned already."""
        if self._task().state != "owned":
            super()._note(note, state)


def new_ladder(store: Store, task_id: str) -> Job:
    """Store a fresh job that moves a task to a ladder."""
    return new_job(store, KIND, task_id)


def open_ladder(store: Store, task_id: str) -> Job | None:
    """The newest unfinished job of this kind, to carry on with; None if there is none."""
    return open_job(store, KIND, task_id)


def latest_laid(store: Store, task_id: str) -> LaidView | None:
    """What was expected of the ladder that was looked for last; None before the first."""
    found = (result_of(job, "lay") for job in jobs_of(store, KIND, task_id))
    return next((msgspec.convert(result, LaidView) for result in found if result is not None), None)


def certified_ladder(store: Store, certificate_id: str) -> LadderAttempt | None:
    """What the certify rows said of a ladder; None if the certificate is no ladder's, or its job is gone."""
    job = job_of_certificate(store, KIND, certificate_id)
    return None if job is None else msgspec.convert(result_of(job, "certify"), LadderAttempt)


def promised_saving(store: Store, entry: TaskPolicy) -> float:
    """The share of the dollars that what is in force was predicted to save; a student costs nothing per request."""
    if entry.ladder is not None:
        job = job_of_certificate(store, KIND, entry.ladder.certificate)
        return 0.0 if job is None else float(result_of(job, "lay")["saving"])
    view = outlook_of(store, entry.rungs[0].certificate) if entry.rungs else None
    return 0.0 if view is None else view.coverage


def candidate_student(store: Store, task: Task) -> Student | None:
    """The student in force, as the task's rung or on its ladder; None if there is none."""
    entry = store.control.current_policy().tasks.get(task.task_id)
    names = entry.students if entry is not None else ()
    return store.control.students.get(names[0]) if names else None


def wanted_rows(task: Task, risk: str) -> int:
    """Requests with which a ladder that loses nothing would just be certified, were half of them moved.

    With no loss in n rows the exact binomial p-value is (1 − ε)ⁿ.
    """
    level = spent_delta(task.delta, task.attempts + 1)
    rows = math.log(level) / math.log1p(-task.epsilon) / _CERTIFIES
    return math.ceil(rows / _MOVED if risk == "served" else rows)


def _too_few(rows: int, needed: int | None) -> str:
    if needed is None:
        return f"Of {rows} scored requests none shows a ladder that could be certified, nor would more of them."
    return f"Nothing moves yet: {rows} of about {needed} scored requests."
