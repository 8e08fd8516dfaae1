"""A ruling as a verdict that datasets and students carry. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Literal

from freehold.domain.counsel import Decision
from freehold.domain.evidence import Verdict
from freehold.domain.rights import NO_FACTS, Asset, Finding, Organisation, Ruling
from freehold.rights.clauses import licences
from freehold.rights.engine import OWN, rule

Training = Literal["train_classifier", "distil"]


def judge_training(
    action: Training,
    terms: str,
    decisions: Iterable[Decision],
    today: datetime.date,
    organisation: Organisation = NO_FACTS,
) -> Verdict:
    """The verdict on training with answers got under `terms` (an id of `licences`, or `own`).

    Unknown terms are denied. A decision by counsel settles `needs-counsel` (and only that) until it expires.
    """
    return verdict_of(rule(action, Asset(asset_id=terms, licence=terms), organisation, today, decisions=decisions))


class TrainingJudge:
    """Gives verdicts on one kind of training; each set of terms is judged once."""

    def __init__(
        self,
        action: Training,
        decisions: Iterable[Decision],
        today: datetime.date,
        organisation: Organisation = NO_FACTS,
    ) -> None:
        """See `judge_training`."""
        self._action: Training = action
        self._decisions = tuple(decisions)
        self._today = today
        self._organisation = organisation
        self.given: dict[str, Verdict] = {}
        """Terms → verdict, in the order in which they were asked for."""

    def verdict(self, terms: str) -> Verdict:
        """The verdict on training with answers got under `terms`."""
        if terms not in self.given:
            self.given[terms] = judge_training(self._action, terms, self._decisions, self._today, self._organisation)
        return self.given[terms]


def verdict_of(ruling: Ruling) -> Verdict:
    """The ruling in short: its strictest finding says why."""
    if not ruling.findings:
        return Verdict(
            action=ruling.action,
            outcome=ruling.outcome,
            subject=OWN,
            reason="You own what the answers come from.",
            source="declared in the configuration",
            date=ruling.date,
        )
    first = ruling.findings[0]
    return Verdict(
        action=ruling.action,
        outcome=ruling.outcome,
        subject=first.licence,
        reason=_reason(first),
        duties=tuple(duty.text or duty.kind for duty in ruling.duties),
        source=first.source,
        date=first.date or ruling.date,
        clauses=tuple(f"{found.licence}/{found.clause}" for found in ruling.findings),
    )


def _reason(finding: Finding) -> str:
    if finding.licence not in licences():
        return (
            f"Nothing is known of the terms {finding.licence!r}: set `terms` of the upstream to one that "
            "`freehold rights list` shows, or to `own` if the answers are yours."
        )
    return f"{finding.says} ({finding.why})" if finding.why else finding.says
