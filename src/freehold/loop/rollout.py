"""Lets certified students pass from stage to stage, or withdraws them: see `freehold.promote.rollout`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.monitor import objection, rehearsal, summary
from freehold.promote import advance, roll_back

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.policy import TaskPolicy
    from freehold.store import Store


def pass_stages(store: Store, settings: Settings, now_ns: int) -> tuple[str, ...]:
    """Look at every task whose student does not answer all yet; returns the tasks that were rolled back.

    Raises:
        StoreError: stored data cannot be read or written.
        Conflict: somebody else published a policy meanwhile; the next turn looks again.
    """
    early = [entry for entry in store.control.current_policy().tasks.values() if _stage(entry) != "full"]
    return tuple(entry.task for entry in early if _is_withdrawn(store, settings, entry, now_ns))


def _stage(entry: TaskPolicy) -> str:
    return entry.rungs[0].stage if entry.rungs else "full"


def _is_withdrawn(store: Store, settings: Settings, entry: TaskPolicy, now_ns: int) -> bool:
    """Advance the task's rung if its stage is over; whether it was withdrawn instead."""
    rung, ours = entry.rungs[0], settings.students.rollout
    certificate = store.control.certificates.get(rung.certificate)
    if certificate is None:
        return False  # whoever watches certificates withdraws it
    if rung.stage == "canary":
        monitor = store.control.monitors.get(rung.certificate)
        if monitor is not None and monitor.audits >= ours.canary_audits:
            advance(store, settings, entry, f"Its canary is over: {summary(monitor)}.", now_ns)
        return False
    seen = rehearsal(store, certificate, rung, ours.shadow_requests)
    if seen is None:
        return False
    reason = objection(seen, certificate)
    if reason:
        roll_back(store, settings, entry.task, reason, seen._asdict(), now_ns)
        return True
    told = f"It answered {seen.asked - seen.failed} of {seen.asked} requests unseen, {seen.accepted} surely enough"
    advance(store, settings, entry, f"{told}, at a loss of {seen.loss:.1%}.", now_ns)
    return False
