"""Whether what a model answered may train a model that writes. Unknown means deny."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from freehold.domain.counsel import Decision
from freehold.domain.evidence import Verdict
from freehold.domain.rights import NO_FACTS, Organisation
from freehold.rights import TrainingJudge

STUDENT = "student"
_STUDENTS = Verdict(
    action="distil",
    outcome="deny",
    subject=STUDENT,
    reason="A student answered: its words come of the answers it was trained on, and bring nothing new.",
)


class Rights:
    """Judges answers by who gave them, once for each set of terms."""

    def __init__(
        self,
        terms_of: Mapping[str, str],
        decisions: Iterable[Decision],
        today: datetime.date,
        organisation: Organisation = NO_FACTS,
    ) -> None:
        """`terms_of`: upstream → the terms its answers come under; others are unknown."""
        self._terms_of = terms_of
        self._judge = TrainingJudge("distil", decisions, today, organisation)

    def verdict(self, answered_by: str) -> Verdict:
        """On training with an answer of `UPSTREAM/MODEL` or `student/ID`; its `subject` is the terms."""
        upstream = answered_by.partition("/")[0]
        return _STUDENTS if upstream == STUDENT else self._judge.verdict(self._terms_of.get(upstream, "unknown"))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All that were given, by terms."""
        return tuple(verdict for _, verdict in sorted(self._judge.given.items()))
