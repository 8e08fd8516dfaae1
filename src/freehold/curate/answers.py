"""Whether an answer may be learned from: under whose terms it was got, what these permit, and if it was recalled."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from freehold.config import Settings
from freehold.domain.evidence import DeniedTerms, Verdict
from freehold.domain.rights import STRICTNESS, UNKNOWN
from freehold.rights import OWN, TrainingJudge, licences, terms_of_upstreams, undated
from freehold.rights.judge import Training
from freehold.store.counsel import decisions
from freehold.store.recalls import Recalls

if TYPE_CHECKING:
    from freehold.store import Store

RIGHTS = "rights"
RECALLED = "recalled"


class LeftOut(NamedTuple):
    """An answer that may not be learned from."""

    trace_id: str
    step: str
    """`rights` or `recalled`."""
    reason: str


class AnswerRights:
    """Judges answers one by one, each set of terms once, and notes those that may not be learned from.

    Terms are those noted when the trace was sealed and those that the configuration gives the upstream now: of two
    that are known and differ, the stricter verdict counts.
    """

    def __init__(self, terms_of: Mapping[str, str], judge: TrainingJudge, recalls: Recalls | None = None) -> None:
        """`terms_of`: upstream → terms its answers come under; others are unknown."""
        self._terms_of = terms_of
        self._judge = judge
        self._recalls = recalls
        self.left_out: list[LeftOut] = []
        self._denied: dict[str, int] = {}
        self._judged: dict[tuple[str, str | None], tuple[str, Verdict]] = {}
        """Upstream and terms noted → what `verdict` says: a dataset has many rows, and few of these."""

    def why_not(self, row: Mapping[str, Any]) -> str:
        """Why a trace's answer may not be learned from, which is noted; empty if it may be."""
        why = self.recalled(row)
        if not why:
            terms, verdict = self.verdict(row)
            if not verdict.permits:
                why = f"{RIGHTS}: {verdict.outcome} ({terms})"
                self._denied[terms] = self._denied.get(terms, 0) + 1
        if why:
            step, _, reason = why.partition(": ")
            self.left_out.append(LeftOut(row["trace_id"], step, reason))
        return why

    def recalled(self, row: Mapping[str, Any]) -> str:
        """Why a trace's answer was recalled; empty if it was not."""
        return self._recalls.why_not(row) if self._recalls is not None else ""

    def verdict(self, row: Mapping[str, Any]) -> tuple[str, Verdict]:
        """The terms that a trace's answer was got under, and what they say of training with it."""
        key = (row["answered_by"].partition("/")[0], row["terms"])
        found = self._judged.get(key)
        if found is None:
            found = self._judged[key] = self._judge_by(*key)
        return found

    def _judge_by(self, upstream: str, terms: str | None) -> tuple[str, Verdict]:
        configured = self._terms_of.get(upstream, UNKNOWN)
        noted = undated(terms or UNKNOWN)
        known = [terms for terms in (configured, noted) if terms == OWN or terms in licences()] or [configured]
        return max(
            ((terms, self._judge.verdict(terms)) for terms in known), key=lambda found: STRICTNESS[found[1].outcome]
        )

    @property
    def by_terms(self) -> Mapping[str, Verdict]:
        """All verdicts that were given, by terms."""
        return self._judge.given

    @property
    def verdicts(self) -> list[Verdict]:
        """All that were given, in the order in which they were asked for."""
        return list(self._judge.given.values())

    def denied(self, usable: int, today: datetime.date) -> tuple[DeniedTerms, ...]:
        """What was left out, by terms; `usable`: how many answers might be learned from."""
        every = usable + sum(self._denied.values())
        return tuple(
            _denied(terms, self._judge.verdict(terms), rows, rows / every, today)
            for terms, rows in sorted(self._denied.items())
        )


def answer_rights(
    store: Store, settings: Settings, task_id: str, today: datetime.date, purpose: Training = "train_classifier"
) -> AnswerRights:
    """What judges the answers to a task's requests, by what is stored and configured now.

    Raises:
        StoreError: decisions or recalls cannot be read.
    """
    judge = TrainingJudge(purpose, decisions(store, task_id), today, settings.organisation)
    return AnswerRights(terms_of_upstreams(settings.upstreams), judge, Recalls(store))


def _denied(terms: str, verdict: Verdict, rows: int, share: float, today: datetime.date) -> DeniedTerms:
    return DeniedTerms(
        terms=terms,
        outcome=verdict.outcome,
        clause=verdict.clauses[0] if verdict.clauses else "",
        reason=verdict.reason,
        rows=rows,
        share=share,
        judged=today.isoformat(),
        read=verdict.date,
        source=verdict.source,
    )
