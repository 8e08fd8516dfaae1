"""A day's audit dollars, spread over the certificates in force by what each of them needs.

At most once a minute the rates are computed anew: from what was spent since midnight UTC (recorded audits, and drawn
ones under way), what the rest of the day will bring by the last 24 hours, what an audit costs, and how well each loss
is known (`freehold.stats.allocation`). A policy is published only for a rate that changes by more than a quarter.

What may be drawn at the lowest rates before the next look is put aside, twice over. When no more than that is left,
audits stop until midnight UTC: nothing is rolled back for it, but certificates age, and people are told. The cap is
passed by no more than what is drawn between two looks beyond what was foreseen: the rates spread what is left over an
hour or more, so that takes a burst of many times the usual traffic, or of the usual price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from freehold.config import Settings
from freehold.domain.events import Event, EventKind, Monitor
from freehold.domain.evidence import Certificate
from freehold.domain.ids import new_id
from freehold.domain.policy import TaskPolicy
from freehold.domain.tasks import Task
from freehold.monitor import Spending, breached, day_begins, spending, unheard
from freehold.monitor.spending import DAY_NS, NOTHING, SECOND_NS
from freehold.promote import audit_rate
from freehold.stats import AuditNeed, allocate_audits

if TYPE_CHECKING:
    from freehold.store import Store

LOOK_NS = 60 * SECOND_NS
_CHANGE = 1.25
_RESERVE = 2.0
_SHORTEST_REST_NS = 3600 * SECOND_NS
"""The last hour of a day is not for spending all that is left."""
_EVENTS = 100
_FEW = 100
"""Requests from which the share that rungs answer is told; until then it is the certificate's."""


class InForce(NamedTuple):
    """A task that rungs answer."""

    task: Task
    policy: TaskPolicy
    certificate: Certificate
    monitor: Monitor | None
    spent: Spending

    @property
    def served_per_day(self) -> float:
        """Requests that rungs will answer in a day."""
        return self.spent.requests_per_day * self._share

    @property
    def peak_per_ns(self) -> float:
        """The same at a busy time, per nanosecond."""
        return max(self.spent.requests_per_day, self.spent.requests_per_day_lately) * self._share / DAY_NS

    @property
    def alarm(self) -> str:
        """What people should know, in a sentence; empty if all is well."""
        breach = (breached(self.monitor) or unheard(self.monitor) or "") if self.monitor is not None else ""
        if breach:
            return breach
        if self.policy.audit_rate == 0.0:
            return "Nothing is audited now: the certificate ages."
        if self.spent.dollars_per_audit is None and self.spent.audits_today:
            return "The price of audits is not known: they are in no budget."
        return ""

    @property
    def _share(self) -> float:
        seen = self.spent.served_of >= _FEW
        return self.spent.served / self.spent.served_of if seen else self.certificate.coverage


def certificate_in_force(entry: TaskPolicy) -> str | None:
    """The id of the certificate that a task is served under; None: the incumbent answers everything."""
    if entry.ladder is not None:
        return entry.ladder.certificate
    return entry.rungs[0].certificate if entry.rungs else None


def in_force(store: Store, spent: Mapping[str, Spending]) -> list[InForce]:
    """All tasks that rungs answer; `spent`: see `freehold.monitor.spending`.

    Raises:
        StoreError: stored data cannot be read.
    """
    found: list[InForce] = []
    for entry in store.control.current_policy().tasks.values():
        certificate_id = certificate_in_force(entry)
        certificate = store.control.certificates.get(certificate_id) if certificate_id else None
        task = store.control.tasks.get(entry.task)
        if certificate is None or task is None:
            continue
        monitor = store.control.monitors.get(certificate.certificate_id)
        found.append(InForce(task, entry, certificate, monitor, spent.get(entry.task, NOTHING)))
    return found


class AuditBudget:
    """Keeps the audit rates in force within the budget; one per loop."""

    def __init__(self, store: Store, settings: Settings, look_ns: int = LOOK_NS) -> None:
        """`look_ns`: between two looks, nanoseconds."""
        self._store = store
        self._look_ns = look_ns
        self._settings = settings
        self._looked_ns = 0
        self._certificates: frozenset[str | None] = frozenset()

    def look(self, now_ns: int) -> None:
        """Bring the rates up to date, at most once a minute unless another certificate came into force.

        Raises:
            Conflict: somebody else published a policy meanwhile.
            StoreError: stored data cannot be read or written.
        """
        policy = self._store.control.current_policy()
        certificates = frozenset(map(certificate_in_force, policy.tasks.values()))
        if now_ns < self._looked_ns + self._look_ns and certificates == self._certificates:
            return
        self._looked_ns, self._certificates = now_ns, certificates
        if certificates <= {None}:
            return
        spent = spending(self._store, now_ns)
        tasks = in_force(self._store, spent)
        cap = self._settings.loop.audit_dollars_per_day
        if cap is None:
            self._without_cap(tasks)
            return
        # What tasks no longer in force cost today is spent as well.
        left = cap - sum(item.committed for item in spent.values())
        if self._stopped_today(tasks, cap, now_ns) or left <= self._at_risk(tasks):
            self._stop(tasks, cap, cap - left, now_ns)
        else:
            self._publish(tasks, self._rates(tasks, left, now_ns), now_ns)

    def _rates(self, tasks: list[InForce], left: float, now_ns: int) -> dict[str, float]:
        """Task → audit rate. What has no known price is in no budget and keeps its configured rate."""
        loop = self._settings.loop
        rest = max(day_begins(now_ns) + DAY_NS - now_ns, _SHORTEST_REST_NS, 4 * self._look_ns) / DAY_NS
        budget = left - self._at_risk(tasks)
        fixed = {item.task.task_id: rate for item in tasks if (rate := self._fixed(item)) is not None}
        for item in tasks:
            if item.task.task_id in fixed:
                cost = item.spent.dollars_per_audit or 0.0
                budget -= fixed[item.task.task_id] * item.served_per_day * rest * cost
        needs = [_need(item, rest) for item in tasks if item.task.task_id not in fixed]
        plan = allocate_audits(
            needs,
            max(0.0, budget),
            min_rate=min(loop.min_audit_rate, loop.max_audit_rate),
            max_rate=loop.max_audit_rate,
        )
        if plan.below_floor:  # as long as there is money, the lowest rate that is worth its while
            return fixed | dict.fromkeys(plan.rates, self._floor)
        return fixed | plan.rates

    @property
    def _floor(self) -> float:
        return min(self._settings.loop.min_audit_rate, self._settings.loop.max_audit_rate)

    def _fixed(self, item: InForce) -> float | None:
        own = self._settings.task(item.task.name, item.task.task_id).audit_rate
        if own is None and item.spent.dollars_per_audit is None:
            return audit_rate(self._settings, item.task, on_probation=False)
        return own

    def _at_risk(self, tasks: list[InForce]) -> float:
        """Dollars that may be drawn until the next look at the lowest rates, twice over."""
        drawn = ((item, 1.0 + self._floor * item.peak_per_ns * self._look_ns) for item in tasks)
        return sum(_RESERVE * number * (item.spent.dollars_per_audit or 0.0) for item, number in drawn)

    def _publish(self, tasks: list[InForce], rates: dict[str, float], now_ns: int) -> None:
        for item in tasks:
            rate, before = rates[item.task.task_id], item.policy.audit_rate
            if before == rate or (before > 0.0 and before / _CHANGE <= rate <= before * _CHANGE):
                continue
            reason = f"{rate:.2%} of the answers of {item.task.name} are audited: what it needs of the audit budget."
            with self._store.control.transaction():
                self._store.control.change_task_policy(item.task.task_id, reason, audit_rate=rate)
                if before == 0.0:
                    self._say(item, "audits-resumed", reason, {"rate": rate}, now_ns)
                    self._note(item, self._promoted(item) or reason)

    def _stop(self, tasks: list[InForce], cap: float, spent: float, now_ns: int) -> None:
        reason = (
            f"Nothing is audited until midnight UTC: ${spent:.2f} of today's ${cap:.2f} for audits are spent. Until "
            "then the certificate ages: a change would not be seen. Raise `audit_dollars_per_day` to go on."
        )
        evidence = {"spent": spent, "cap": cap}
        for item in tasks:
            if item.policy.audit_rate == 0.0:
                continue
            with self._store.control.transaction():
                self._store.control.change_task_policy(item.task.task_id, reason, audit_rate=0.0)
                self._say(item, "audits-stopped", reason, evidence, now_ns)
                self._note(item, reason)

    def _stopped_today(self, tasks: list[InForce], cap: float, now_ns: int) -> bool:
        """Whether audits were stopped today under this cap: going on and off with every audit helps nobody."""
        begin = day_begins(now_ns)
        return any(
            event.kind == "audits-stopped" and event.at_ns >= begin and event.evidence.get("cap") == cap
            for item in tasks
            for event in self._store.control.events(_EVENTS, item.task.task_id)
        )

    def _without_cap(self, tasks: list[InForce]) -> None:
        """The configured rates, where a cap that is gone, or an older configuration, has left others."""
        for item in tasks:
            steady, probation = (audit_rate(self._settings, item.task, on_probation=on) for on in (False, True))
            if item.policy.audit_rate in (steady, probation):
                continue
            audits = item.monitor.audits if item.monitor is not None else 0
            rate = probation if audits < self._settings.loop.probation_audits else steady
            reason = f"{rate:.0%} of the answers of {item.task.name} are audited, as configured."
            self._store.control.change_task_policy(item.task.task_id, reason, audit_rate=rate)
            self._note(item, self._promoted(item) or reason)

    def _promoted(self, item: InForce) -> str:
        events = self._store.control.events(_EVENTS, item.task.task_id)
        return next((event.message for event in events if event.kind == "promoted"), "")

    def _note(self, item: InForce, note: str) -> None:
        self._store.control.tasks.change(item.task.task_id, lambda fresh: msgspec.structs.replace(fresh, note=note))

    def _say(self, item: InForce, kind: EventKind, message: str, evidence: dict[str, float], now_ns: int) -> None:
        event_id, task_id = new_id("ev"), item.task.task_id
        self._store.control.add_event(
            Event(event_id=event_id, at_ns=now_ns, kind=kind, task=task_id, message=message, evidence=dict(evidence))
        )


def _need(item: InForce, rest: float) -> AuditNeed:
    monitor = item.monitor
    upper = monitor.upper if monitor is not None and monitor.audits else item.certificate.loss_upper
    return AuditNeed(
        task=item.task.task_id,
        epsilon=item.certificate.epsilon,
        upper=min(max(upper, 0.0), 1.0),
        audits=monitor.audits if monitor is not None else 0,
        requests_per_day=item.served_per_day * rest,
        dollars_per_audit=item.spent.dollars_per_audit or 0.0,
    )
