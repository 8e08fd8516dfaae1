"""What rights say of what serves, for the pages: verdicts with date and source, duties with their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from freehold.config import Settings
from freehold.loop.rights import rights_at_work
from freehold.promote import ServingRights, objection
from freehold.rights import verdict_of
from freehold.rights.words import in_words

if TYPE_CHECKING:
    from freehold.store import Store


class Said(NamedTuple):
    """What rights say of serving one asset."""

    rights: ServingRights
    verdicts: tuple[str, ...]
    """One for each way of serving it, each with its source and date."""
    objection: str
    """Why it may not be served today, and what to do; empty if it may."""


def said_of(store: Store, settings: Settings, task_id: str | None = None) -> list[Said]:
    """Of all that serves (a task), and of all that waits to.

    Raises:
        StoreError: the control store cannot be read.
    """
    return [_said(rights) for rights in rights_at_work(store, settings, task_id)]


def _said(rights: ServingRights) -> Said:
    verdicts = (f"{ruling.action.replace('_', ' ')}: {in_words(verdict_of(ruling))}" for ruling in rights.rulings)
    return Said(rights, tuple(verdicts), str(objection(rights) or ""))
