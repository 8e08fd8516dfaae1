"""May answers got under these terms train this? Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Literal, Protocol

from freehold.domain.evidence import Verdict
from freehold.rights.terms import terms_table

Action = Literal["train_classifier", "train_generative"]


class Decision(Protocol):
    """A recorded decision by counsel; see `[[counsel]]` in the configuration."""

    @property
    def terms(self) -> str: ...  # noqa: D102
    @property
    def purpose(self) -> str: ...  # noqa: D102
    @property
    def allow(self) -> bool: ...  # noqa: D102
    @property
    def decided_by(self) -> str: ...  # noqa: D102
    @property
    def until(self) -> str: ...  # noqa: D102


def judge_training(action: Action, terms: str, decisions: Iterable[Decision], today: datetime.date) -> Verdict:
    """The verdict on training with answers got under `terms`.

    Unknown terms are denied. A decision by counsel settles `needs-counsel` (and only that) until it expires.
    """
    known = terms_table().get(terms)
    if known is None:
        return Verdict(
            action=action,
            outcome="deny",
            subject=terms,
            reason=f"Nothing is known of the terms {terms!r}: set `terms` of the upstream to one that "
            "`freehold doctor` lists, or to `own` if the answers are yours.",
            date=today.isoformat(),
        )
    outcome = known.train_classifier if action == "train_classifier" else known.train_generative
    reason, source, date = known.reason, known.source, known.date
    if outcome == "needs-counsel":
        for decision in decisions:
            if (decision.terms, decision.purpose) == (terms, action) and decision.until >= today.isoformat():
                outcome = "allow" if decision.allow else "deny"
                reason = f"Decided by {decision.decided_by}, until {decision.until}. {known.reason}"
    return Verdict(
        action=action,
        outcome="deny" if outcome == "unknown" else outcome,
        subject=terms,
        reason=reason,
        duties=known.duties if outcome == "duties" else (),
        source=source,
        date=date,
    )
