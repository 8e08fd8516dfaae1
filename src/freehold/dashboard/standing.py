"""Where a task stands: its state, its loss interval against ε and what that interval rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from freehold.dashboard.charts import LossBar, loss_bar
from freehold.domain.events import Monitor
from freehold.domain.evidence import Certificate, signed_bytes
from freehold.domain.statements import finding, statement
from freehold.domain.tasks import Task
from freehold.loop.audit_budget import certificate_in_force
from freehold.monitor import Spending, breached, summary, unheard

if TYPE_CHECKING:
    from freehold.ledger import Ledger, Line
    from freehold.store import ControlStore

CERTIFICATES = 20


class Loss(NamedTuple):
    """What is known of the loss per served request."""

    lower: float
    upper: float
    epsilon: float
    source: Literal["audits", "certificate"]
    about: str
    """The figures behind the interval, in a sentence."""
    bar: LossBar

    @property
    def breach(self) -> bool:
        """Whether the loss is above ε for certain (at the stated confidence)."""
        return self.lower > self.epsilon


class Standing(NamedTuple):
    """A line of the table of tasks."""

    task: Task
    line: Line | None
    """Its figures in the window; None without traffic there."""
    certificate: Certificate | None
    """The one in force, else the newest there is."""
    in_force: bool
    loss: Loss | None
    monitor: Monitor | None


class Audits(NamedTuple):
    """How a task's answers are audited."""

    rate: float
    cap: float | None
    """Dollars per day, for all tasks."""
    spent: Spending
    alarm: str
    """What people should know, in a sentence; empty if all is well."""


class Issued(NamedTuple):
    """A certificate, as stored."""

    certificate: Certificate
    statement: str
    in_force: bool
    signature_holds: bool
    monitor: Monitor | None


def standings(control: ControlStore, books: Ledger) -> list[Standing]:
    """All tasks, those with most traffic first.

    Raises:
        StoreError: the control store cannot be read.
    """
    lines = {line.key: line for line in books.tasks}
    found = [standing(control, task, lines.get(task.task_id)) for task in control.tasks.list()]
    return sorted(found, key=lambda row: (-(row.line.requests if row.line else 0), row.task.name))


def standing(control: ControlStore, task: Task, line: Line | None) -> Standing:
    """One task.

    Raises:
        StoreError: the control store cannot be read.
    """
    issued = certificates(control, task.task_id)
    chosen = next((item for item in issued if item.in_force), issued[0] if issued else None)
    if chosen is None:
        return Standing(task, line, None, in_force=False, loss=None, monitor=None)
    loss = _loss(chosen.certificate, chosen.monitor)
    return Standing(task, line, chosen.certificate, chosen.in_force, loss, chosen.monitor)


def certificates(control: ControlStore, task_id: str) -> list[Issued]:
    """A task's certificates, newest first.

    Raises:
        StoreError: the control store cannot be read.
    """
    from freehold.store.keys import verify

    policy = control.current_policy().tasks.get(task_id)
    in_force = certificate_in_force(policy) if policy else None
    return [
        Issued(
            certificate,
            statement(certificate),
            certificate.certificate_id == in_force,
            verify(certificate.public_key, signed_bytes(certificate), certificate.signature),
            control.monitors.get(certificate.certificate_id),
        )
        for certificate in control.certificates.list(task_id, CERTIFICATES, newest_first=True)
    ]


def audits(control: ControlStore, found: Standing, spent: Spending, cap: float | None) -> Audits | None:
    """How the task's answers are audited; None if no rung answers.

    Raises:
        StoreError: the control store cannot be read.
    """
    policy = control.current_policy().tasks.get(found.task.task_id)
    if policy is None or not found.in_force:
        return None
    monitor = found.monitor
    alarm = (breached(monitor) or unheard(monitor) or "") if monitor is not None else ""
    if not alarm and policy.audit_rate == 0.0:
        alarm = "Nothing is audited now: the certificate ages."
    return Audits(policy.audit_rate, cap, spent, alarm)


def _loss(certificate: Certificate, monitor: Monitor | None) -> Loss:
    """The audits' interval once there are audits; until then the certificate's bound."""
    epsilon = certificate.epsilon
    if monitor is not None and monitor.audits:
        lower, upper = max(0.0, monitor.lower), max(0.0, monitor.upper)  # gains are no loss
        about = f"{summary(monitor)}."
        return Loss(lower, upper, epsilon, "audits", about, loss_bar(lower, upper, epsilon))
    upper = max(0.0, certificate.loss_upper)
    return Loss(0.0, upper, epsilon, "certificate", finding(certificate), loss_bar(0.0, upper, epsilon))
