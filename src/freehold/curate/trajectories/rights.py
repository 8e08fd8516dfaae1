"""Whether what a model answered may train a model that writes. Unknown means deny."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from freehold.domain.evidence import Verdict
from freehold.rights import judge_training
from freehold.rights.judge import Decision

STUDENT = "student"
_STUDENTS = Verdict(
    action="distil",
    outcome="deny",
    subject=STUDENT,
    reason="A student answered: its words come of the answers it was trained on, and bring nothing new.",
)


class Rights:
    """Judges answers by who gave them, once for each set of terms."""

    def __init__(self, terms_of: Mapping[str, str], decisions: Iterable[Decision], today: datetime.date) -> None:
        """`terms_of`: upstream → the terms its answers come under; others are unknown."""
        self._terms_of = terms_of
        self._decisions = tuple(decisions)
        self._today = today
        self._verdicts: dict[str, Verdict] = {STUDENT: _STUDENTS}

    def verdict(self, answered_by: str) -> Verdict:
        """On training with an answer of `UPSTREAM/MODEL` or `student/ID`; its `subject` is the terms."""
        upstream = answered_by.partition("/")[0]
        terms = STUDENT if upstream == STUDENT else self._terms_of.get(upstream, "unknown")
        if terms not in self._verdicts:
            self._verdicts[terms] = judge_training("distil", terms, self._decisions, self._today)
        return self._verdicts[terms]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All that were given, by terms."""
        return tuple(verdict for _, verdict in sorted(self._verdicts.items()) if verdict is not _STUDENTS)
