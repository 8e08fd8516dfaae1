"""One entrance for all scorers: check the texts, call the right one, make a score of what cannot be scored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import (
    Comparison,
    ExactScorer,
    FeedbackScorer,
    JsonScorer,
    JudgeScorer,
    NumericScorer,
    PythonScorer,
    RegexScorer,
    SchemaScorer,
    Score,
    Scorer,
    SqlScorer,
    TextScorer,
    scored,
    unscored,
)
from freehold.scorers.base import Context, Unusable, prepared
from freehold.scorers.exact import score_exact
from freehold.scorers.json_fields import check_json, score_json
from freehold.scorers.judge import Ask, judge
from freehold.scorers.numeric import score_numeric
from freehold.scorers.pattern import check_regex, score_regex
from freehold.scorers.people import score_feedback
from freehold.scorers.python import score_python
from freehold.scorers.schema import score_schema
from freehold.scorers.sql import score_sql
from freehold.scorers.text import score_text

_BESIDE: dict[type[Any], Callable[[Any, str, str, Context], Score]] = {
    ExactScorer: lambda scorer, answer, reference, context: score_exact(scorer, answer, reference),
    JsonScorer: lambda scorer, answer, reference, context: score_json(scorer, answer, reference),
    NumericScorer: lambda scorer, answer, reference, context: score_numeric(scorer, answer, reference),
    SqlScorer: score_sql,
    TextScorer: lambda scorer, answer, reference, context: score_text(scorer, answer, reference),
}
"""Those that score an answer beside a reference, which is 1 by definition."""


def needs_reference(scorer: Scorer) -> bool:
    """Whether it scores an answer beside a reference, not by itself."""
    return type(scorer) in _BESIDE or isinstance(scorer, JudgeScorer) or (
        isinstance(scorer, RegexScorer) and scorer.compare
    )  # fmt: skip


def score(scorer: Scorer, answer: str | None, reference: str | None, context: Context | None = None) -> Score:
    """How good `answer` is, in [0, 1], or why that cannot be said. The same arguments give the same score.

    May take as long as the scorer's own time limit: not for an event loop (see `score_async`).

    Args:
        scorer: which measure.
        answer: the text to score; None if there is none.
        reference: the incumbent's text; looked at only by scorers that `needs_reference`.
        context: what else is known of the request.

    Raises:
        ScorerError: the scorer cannot be carried out at all as it is set, whatever the answer; or it is a judge,
            which only `compare_async` can ask.
    """
    context = context or Context()
    try:
        if isinstance(scorer, FeedbackScorer):
            return score_feedback(context.feedback)
        beside = _BESIDE.get(type(scorer))
        wanted = prepared(reference, "The reference") if needs_reference(scorer) else ""
        given = prepared(answer, "The answer")
        if beside is not None:
            return beside(scorer, given, wanted, context)
        return _by_itself(scorer, given, wanted, context)
    except Unusable as error:
        return unscored(str(error))


def _by_itself(scorer: Scorer, answer: str, reference: str, context: Context) -> Score:
    match scorer:
        case RegexScorer():
            return score_regex(scorer, answer, reference)
        case SchemaScorer():
            return score_schema(scorer, answer, context)
        case PythonScorer():
            return score_python(scorer, answer, context)
        case _:
            raise ScorerError("A judge compares two answers by asking a model.", "Use `compare_async` with `ask`.")


def compare(scorer: Scorer, answer: str | None, reference: str | None, context: Context | None = None) -> Comparison:
    """Score an answer and the incumbent's: the losses follow from both. Raises as `score` does.

    Beside scorers that look at the reference, the reference scores 1, provided that it can be scored; other scorers
    score it as they score the answer.
    """
    context = context or Context()
    ours = score(scorer, answer, reference, context)
    if needs_reference(scorer):
        theirs = (
            scored(1.0, "The reference.") if ours.value is not None else score(scorer, reference, reference, context)
        )
        return Comparison(reference=theirs, answer=ours)
    theirs_context = msgspec.structs.replace(context, feedback=context.reference_feedback)
    return Comparison(reference=score(scorer, reference, None, theirs_context), answer=ours)


async def compare_async(
    scorer: Scorer,
    answer: str | None,
    reference: str | None,
    context: Context | None = None,
    ask: Ask | None = None,
) -> Comparison:
    """`compare`, judges included, without holding up the event loop.

    Raises:
        ScorerError: as `score`; or the scorer is a judge and `ask` is missing.
        FreeholdError: what `ask` raises.
    """
    context = context or Context()
    if not isinstance(scorer, JudgeScorer):
        return await asyncio.to_thread(compare, scorer, answer, reference, context)
    if ask is None:
        raise ScorerError(f"The judge {scorer.model} cannot be asked here.", "Give `ask`, or use another scorer.")
    try:
        given, wanted = prepared(answer, "The answer"), prepared(reference, "The reference")
    except Unusable as error:
        return Comparison(reference=unscored(str(error)), answer=unscored(str(error)))
    return await judge(scorer, ask, given, wanted, context)


def check(scorer: Scorer) -> None:
    """Find out before use what is wrong with a scorer's own options.

    Raises:
        ScorerError: a pattern is not one, no field has a weight, or a database is not there.
    """
    match scorer:
        case RegexScorer():
            check_regex(scorer)
        case JsonScorer():
            check_json(scorer)
        case SqlScorer() if scorer.database:
            if not Path(scorer.database).is_absolute():
                raise ScorerError(
                    f"The sql scorer's database {scorer.database!r} is not an absolute path.",
                    "The gateway and the loop may run elsewhere: give the whole path.",
                )
            if not Path(scorer.database).is_file():
                raise ScorerError(f"There is no database at {scorer.database}.", "Give the path of a SQLite file.")
        case SchemaScorer() if scorer.schema is not None:
            score_schema(scorer, "{}", Context())
        case _:
            pass
