"""One turn of the loop: seal what was recorded, find tasks, watch what is owned, start what is due.

Heavy work is a job in a process of its own, so that a rollback never waits for training. Everything is decided from
stored data: a loop that is killed and started again carries on.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from freehold.config import Settings
from freehold.curate import Seen, count_shadows, discover, look_at_form
from freehold.domain.errors import Conflict, FreeholdError, RightsPending
from freehold.domain.events import Event, Job, Monitor
from freehold.domain.ids import new_id
from freehold.domain.policy import Policy, TaskPolicy
from freehold.domain.tasks import Task
from freehold.evaluate import self_disagreement
from freehold.loop.asking import asking_in_time
from freehold.loop.audit_budget import AuditBudget, certificate_in_force
from freehold.loop.drills import settle_drills
from freehold.loop.jobs import stepwise
from freehold.loop.ladder_move import new_ladder
from freehold.loop.move import new_move
from freehold.loop.rollout import pass_stages
from freehold.loop.steps import RIGHTS
from freehold.monitor import breached, unheard, watch
from freehold.promote import audit_rate, rights_mark, roll_back
from freehold.record.sealer import Sealer
from freehold.runners import Runner, Running
from freehold.store import Store

MAX_CRASHES = 3
"""A job whose process dies this often without a word is given up: it would never let another task have its turn."""
WAITING_GROWTH = 2.0
"""A task whose promotion waits for a duty or for counsel is trained anew only once its answers have grown so much."""
_log = structlog.get_logger()


class Turn(NamedTuple):
    """What a turn did."""

    sealed: int
    rolled_back: tuple[str, ...]
    started: str | None
    """Task whose job was started (or, inline, run)."""


class Loop:
    """The scheduler.

    Args:
        store: where everything is.
        settings: as configured.
        config: the configuration file, handed to the jobs' processes.
        runner: where jobs run; None: in this process, one at a time, which is slower to roll back but repeatable.
        log_level: of the jobs' processes.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        config: Path | None = None,
        runner: Runner | None = None,
        *,
        log_level: str = "info",
    ) -> None:
        self._store = store
        self._settings = settings
        self._config = config
        self._runner = runner
        self._log_level = log_level
        self._running: list[tuple[Job, Running]] = []
        self._sealer = Sealer(store, settings.upstreams)
        self._crashes = Counter[str]()
        self._budget = AuditBudget(store, settings)
        self._told = set[str]()
        """Certificates whose audits are known to say too little."""

    def use(self, settings: Settings) -> None:
        """Take up other settings from the next turn on; a job that runs ends with those it began with."""
        self._settings = settings
        self._sealer = Sealer(self._store, settings.upstreams)
        self._budget = AuditBudget(self._store, settings)

    def turn(self) -> Turn:
        """Do one turn.

        Raises:
            StoreError: stored data cannot be read or written; the next turn tries again.
        """
        sealed = self._sealer.seal_once()
        seen = discover(self._store, self._settings, time.time_ns())
        rolled_back = self._watch() + pass_stages(self._store, self._settings, time.time_ns())
        self._budget.look(time.time_ns())
        settle_drills(self._store, self._settings, time.time_ns())
        # What was seen of a task that was just rolled back no longer counts.
        due = {task: counts for task, counts in seen.items() if task not in rolled_back}
        return Turn(sealed.records, rolled_back, self._start_due(due))

    def until_idle(self, max_turns: int = 1000) -> int:
        """Take turns until one finds nothing to do; returns how many jobs ran. For one-shot use and tests."""
        jobs = 0
        for _ in range(max_turns):
            turn = self.turn()
            jobs += turn.started is not None
            if turn == Turn(0, (), None) and not self._running:
                break
        return jobs

    def stop(self) -> None:
        """End the running jobs' processes; their records let the next loop carry on."""
        for _, process in self._running:
            process.stop()
        self._running = []

    def _watch(self) -> tuple[str, ...]:
        """Bring the monitor of every certificate in force up to date; withdraw those that may no longer serve."""
        back: list[str] = []
        for entry in self._store.control.current_policy().tasks.values():
            certificate_id = certificate_in_force(entry)
            if certificate_id is None:
                continue
            monitor, reason = self._judge(entry.task, certificate_id)
            if reason:
                evidence: dict[str, object] = {} if monitor is None else msgspec.to_builtins(monitor)
                roll_back(self._store, self._settings, entry.task, reason, evidence, time.time_ns())
                back.append(entry.task)
            elif monitor is not None:
                self._say_unheard(monitor)
                if monitor.audits >= self._settings.loop.probation_audits:
                    self._end_probation(entry)
        return tuple(back)

    def _judge(self, task_id: str, certificate_id: str) -> tuple[Monitor | None, str]:
        """What audits say of a rung in force, and why it must go (empty if it may stay)."""
        certificate = self._store.control.certificates.get(certificate_id)
        task = self._store.control.tasks.get(task_id)
        if certificate is None or task is None:
            return None, "Its certificate is gone."
        if not self._may_move(task):
            return None, "The configuration says that this task does not move."
        if certificate.epsilon > task.epsilon:
            return (
                None,
                f"It was certified for a loss of {certificate.epsilon:.2%}; now {task.epsilon:.2%} are allowed.",
            )
        with asking_in_time(self._store, self._settings, task_id) as ask:
            monitor = watch(self._store, certificate, time.time_ns(), ask)
        return monitor, breached(monitor) or ""

    def _say_unheard(self, monitor: Monitor) -> None:
        """Tell people, once per certificate, that audits say too little to hold it up."""
        message = unheard(monitor)
        if message is None or monitor.certificate in self._told:
            return
        self._told.add(monitor.certificate)
        evidence = msgspec.to_builtins(monitor)
        known = self._store.control.events(100, monitor.task)
        if not any(event.kind == "audits-missing" and event.evidence["certificate"] == monitor.certificate
                   for event in known):  # fmt: skip
            self._store.control.add_event(
                Event(
                    event_id=new_id("ev"),
                    at_ns=time.time_ns(),
                    kind="audits-missing",
                    task=monitor.task,
                    message=message,
                    evidence=evidence,
                )
            )

    def _end_probation(self, entry: TaskPolicy) -> None:
        task = self._store.control.tasks.get(entry.task)
        if task is None or self._settings.loop.audit_dollars_per_day is not None:  # then the budget says
            return
        rate = audit_rate(self._settings, task, on_probation=False)
        if rate < entry.audit_rate:
            reason = f"Probation is over: {rate:.0%} are audited."
            self._store.control.change_task_policy(entry.task, reason, audit_rate=rate)

    def _start_due(self, seen: dict[str, Seen]) -> str | None:
        self._running = [running for running in self._running if not self._reaped(*running)]
        if len(self._running) >= self._settings.loop.jobs:
            return None
        busy = {job.task for job, _ in self._running}
        jobs = [job for job in self._store.control.jobs.list(newest_first=True) if job.task not in busy]
        left_over = self._left_over(jobs)
        if left_over is not None:
            return self._start(left_over)
        waiting = frozenset(job.task for job in jobs if job.state == "waiting")
        policy = self._store.control.current_policy()
        known = {task.task_id: task for task in self._store.control.tasks.list()}
        due = [
            (known[task_id], counts)
            for task_id, counts in seen.items()
            if task_id not in busy and self._is_due(known[task_id], counts, waiting)
        ]
        # The task whose answers have grown most since it was last looked at comes first: none starves.
        for task, counts in sorted(due, key=lambda item: -item[1].answers / max(1, item[0].samples_at_look)):
            self._enough_repeats(policy, task)
            task = self._looked_at(task, counts)
            if task.state in ("observing", "unscorable"):
                task = look_at_form(self._store, self._settings, task, time.time_ns())
            if task.state in ("observing", "unscorable") or counts.answers < self._settings.loop.min_samples:
                continue
            return self._start(new_move(self._store, task.task_id))
        return self._start_ladder({task_id: task for task_id, task in known.items() if task_id not in busy}, waiting)

    def _start_ladder(self, known: dict[str, Task], waiting: Set[str]) -> str | None:
        """Look for a ladder where candidates have answered enough more requests than when one was last looked for."""
        ours = self._settings.candidates
        if not ours.models:
            return None
        counts = count_shadows(self._store, {task_id: task.evidence_since_ns for task_id, task in known.items()})
        for task_id, count in sorted(counts.items(), key=lambda item: -item[1]):
            task = known.get(task_id)
            if task is None or not self._may_move(task):
                continue
            if count >= max(ours.min_rows, self._growth(task_id, waiting) * task.shadows_at_look):
                self._store.control.tasks.change(
                    task_id, lambda fresh, count=count: msgspec.structs.replace(fresh, shadows_at_look=count)
                )
                return self._start(new_ladder(self._store, task_id))
        return None

    def _is_due(self, task: Task, counts: Seen, waiting: Set[str]) -> bool:
        """Whether the answers have grown enough since the task was last looked at."""
        growth = self._growth(task.task_id, waiting)
        crossed = task.samples_at_look < self._settings.loop.min_samples <= counts.answers
        return self._may_move(task) and (crossed or counts.answers >= max(50, growth * task.samples_at_look))

    def _growth(self, task_id: str, waiting: Set[str]) -> float:
        """`waiting`: tasks with a certificate that only rights keep back: another would spend δ again."""
        growth = self._settings.loop.growth
        return max(growth, WAITING_GROWTH) if task_id in waiting else growth

    def _may_move(self, task: Task | None) -> bool:
        return task is not None and self._settings.task(task.name, task.task_id).move

    def _looked_at(self, task: Task, counts: Seen) -> Task:
        changed = self._store.control.tasks.change(
            task.task_id, lambda fresh: msgspec.structs.replace(fresh, samples_at_look=counts.answers)
        )
        return changed or task

    def _enough_repeats(self, policy: Policy, task: Task) -> None:
        entry = policy.tasks.get(task.task_id)
        if entry is None or entry.repeat_rate == 0.0:
            return
        if (
            self_disagreement(self._store, task.task_id, task.evidence_since_ns).pairs
            >= self._settings.loop.repeats_wanted
        ):
            reason = "The incumbent was asked twice often enough."
            self._store.control.change_task_policy(task.task_id, reason, repeat_rate=0.0)

    def _left_over(self, jobs: list[Job]) -> Job | None:
        """A job that a killed process, or a command that went one step, left unfinished; or one that waited for
        rights, of which something else is known now."""
        mark = rights_mark(self._store, self._settings) if any(job.state == "waiting" for job in jobs) else ""
        unfinished = (
            job for job in jobs if job.state == "running" or (job.state == "waiting" and job.params.get(RIGHTS) != mark)
        )
        return next((job for job in unfinished if self._may_move(self._store.control.tasks.get(job.task))), None)

    def _start(self, job: Job) -> str:
        if self._runner is None:
            try:
                stepwise(self._store, self._settings, job).run()
            except Conflict as error:
                _log.info("somebody else was at it; the job will be carried on", task=job.task, error=str(error))
            except RightsPending as error:
                _log.warning("job waits", task=job.task, error=str(error))
            except FreeholdError as error:
                _log.warning("job failed", task=job.task, error=str(error))
            return job.task
        command = [sys.executable, "-m", "freehold.loop.worker", "--job", job.job_id, "--log-level", self._log_level]
        if self._config is not None:
            command += ["--config", str(self._config)]
        self._running.append((job, self._runner.start(command)))
        return job.task

    def _reaped(self, job: Job, process: Running) -> bool:
        """Whether a job's process has ended; what it left is looked after."""
        code = process.poll()
        if code is None:
            return False
        if code not in (0, Conflict.exit_code):
            self._ended_badly(job, code)
        return True

    def _ended_badly(self, job: Job, code: int) -> None:
        stored = self._store.control.jobs.get(job.job_id)
        if stored is not None and stored.state == "waiting":
            return  # for people, and said for what
        _log.warning("job ended badly", job=job.job_id, task=job.task, exit_code=code)
        if stored is None or stored.state != "running":
            return  # it failed and said why
        self._crashes[job.job_id] += 1
        if self._crashes[job.job_id] >= MAX_CRASHES:
            reason = f"The job's process died {MAX_CRASHES} times, the last time with exit code {code}."
            stepwise(self._store, self._settings, stored).fail(FreeholdError(reason, "See the loop's log for why."))
