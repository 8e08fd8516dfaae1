"""The worst examples side by side: where the candidate loses most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from freehold.domain.evaluations import Example
from freehold.evaluate.comparison.rows import Row

MOST = 20
SHOWN = 2_000
"""Characters of each text that are kept."""


def worst(rows: Sequence[Row], most: int = MOST, redact: Callable[[str], str] | None = None) -> list[Example]:
    """At most `most` rows on which the candidate scored below the incumbent or the student in force, the worst first.

    What the candidate would have answered itself comes before what it leaves to the incumbent, and what the student in
    force had right before what nobody had. `redact` is applied to every text that is kept.
    """
    lost = [row for row in rows if _loss(row) > 0]
    lost.sort(key=lambda row: (not row.candidate.taken, -_loss(row), -_regression(row), row.sample.trace_id))
    return [_example(row, redact or _as_it_is) for row in lost[:most]]


def _loss(row: Row) -> float:
    return max(-row.against_incumbent, _regression(row))


def _regression(row: Row) -> float:
    return -(row.against_in_force or 0.0)


def _example(row: Row, redact: Callable[[str], str]) -> Example:
    before = row.in_force
    return Example(
        row=row.sample.trace_id,
        section="worst",
        prompt=clipped(redact(row.sample.prompt)),
        incumbent=clipped(redact(row.incumbent.text)),
        in_force=None if before is None else clipped(redact(before.text)),
        candidate=clipped(redact(row.candidate.text)),
        incumbent_score=row.incumbent.score,
        in_force_score=None if before is None else before.score,
        candidate_score=row.candidate.score,
        taken=row.candidate.taken,
        why=clipped(redact(row.candidate.why)),
    )


def clipped(text: str) -> str:
    """At most `SHOWN` characters; what is cut ends in an ellipsis."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _as_it_is(text: str) -> str:
    return text
