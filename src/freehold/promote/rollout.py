"""The stages that a certified generative student goes through: shadow, canary, full.

A certificate says how good its answers are. What it cannot say is whether they come: the server, its memory, the way
to it. So callers first see nothing of it, then little, and then all that it may answer. A classifier answers in the
gateway's own process and skips this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.events import Event
from freehold.domain.ids import new_id
from freehold.domain.policy import Policy, Stage, TaskPolicy

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.store import Store

WILL_BE: dict[Stage, str] = {
    "shadow": "will be answered, once it has proved itself unseen, by",
    "canary": "will be answered, at first in part, by",
    "full": "are now answered by",
}


def first_stage(settings: Settings, kind: str) -> dict[str, Any]:
    """Fields of the rung that a student of this kind begins as."""
    ours = settings.students.rollout
    if kind == "classifier" or not (ours.shadow_requests or ours.canary_audits):
        return {"stage": "full", "share": 1.0}
    return {"stage": "shadow", "share": 1.0} if ours.shadow_requests else _canary(settings)


def next_stage(settings: Settings, stage: Stage) -> dict[str, Any]:
    """Fields of the rung when a stage is over."""
    if stage == "shadow" and settings.students.rollout.canary_audits:
        return _canary(settings)
    return {"stage": "full", "share": 1.0}


def advance(store: Store, settings: Settings, entry: TaskPolicy, seen: str, now_ns: int) -> Policy:
    """Put the first rung's next stage in force. `seen`: what the last one has shown, as a sentence.

    Raises:
        Conflict: somebody else published a policy meanwhile.
    """
    rung = entry.rungs[0]
    fields = next_stage(settings, rung.stage)
    what = "all that it accepts" if fields["stage"] == "full" else f"{fields['share']:.0%} of what it accepts"
    message = f"{seen} From now on it answers {what}."
    event = Event(
        event_id=new_id("ev"),
        at_ns=now_ns,
        kind="stage-passed",
        task=entry.task,
        message=message,
        evidence={"student": rung.student, "certificate": rung.certificate, "from": rung.stage, "to": fields["stage"]},
    )
    with store.control.transaction():
        store.control.add_event(event)
        store.control.tasks.change(entry.task, lambda task: msgspec.structs.replace(task, note=message))
        return store.control.change_task_policy(
            entry.task, message, rungs=(msgspec.structs.replace(rung, **fields), *entry.rungs[1:])
        )


def _canary(settings: Settings) -> dict[str, Any]:
    return {"stage": "canary", "share": settings.students.rollout.canary_share}
