"""Patterns, under a time limit that the `regex` library keeps inside its matching loop."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import RegexScorer, Score, scored
from freehold.scorers.base import Unusable, shown


def score_regex(scorer: RegexScorer, answer: str, reference: str | None) -> Score:
    """1 if the pattern is found in the answer (with `compare`: finds the same as in the reference), else 0."""
    wanted = _find(scorer, reference, "the reference") if scorer.compare and reference is not None else ""
    if wanted is None or (scorer.compare and reference is None):
        raise Unusable("The pattern finds nothing in the reference.")
    found = _find(scorer, answer, "the answer")
    if found is None:
        return scored(0.0, f"The pattern is not found in {shown(answer)}.")
    if not scorer.compare:
        return scored(1.0, f"The pattern finds {shown(found)}.")
    return scored(float(found == wanted), f"The pattern finds {shown(found)}; in the reference {shown(wanted)}.")


def check_regex(scorer: RegexScorer) -> None:
    """Raises ScorerError where the pattern is not one."""
    _compiled(scorer.pattern, scorer.ignore_case)


def _find(scorer: RegexScorer, text: str, where: str) -> str | None:
    pattern = _compiled(scorer.pattern, scorer.ignore_case)
    try:
        found = (pattern.fullmatch if scorer.full else pattern.search)(text, timeout=scorer.seconds)
    except TimeoutError as error:
        raise Unusable(f"The pattern did not come to an end within {scorer.seconds:g} s on {where}.") from error
    if found is None:
        return None
    return (found.group(1) or "") if scorer.compare and pattern.groups else found.group(0)


@lru_cache(maxsize=64)
def _compiled(pattern: str, ignore_case: bool) -> Any:
    import regex

    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ScorerError(f"The pattern {shown(pattern)} cannot be used: {error}.", "Mend the pattern.") from error
