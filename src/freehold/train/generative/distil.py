"""Several answers of the teacher to one prompt: which of them to learn from.

Sequence-level distillation (Kim and Rush 2016) learns from what a teacher says instead of from its probabilities. Of
several answers the best is the one that the task's scorer finds best or, where the scorer must compare, the one that
agrees most with the others (minimum Bayes risk: Kumar and Byrne 2004): of SQL the one whose result most others have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from freehold.domain.evidence import Sample
from freehold.domain.scoring import FeedbackScorer, JudgeScorer, Scorer
from freehold.scorers import Context, needs_reference, score
from freehold.train.recipes import Recipe

ContextOf = Callable[[Sample], Context | None]
"""What is known of a sample's request besides its prompt."""


class Distilled(NamedTuple):
    """What is learned from, and how it was chosen."""

    samples: list[Sample]
    prompts: int
    """With more than one answer."""
    dropped: int
    """Answers that another one was preferred to, or that were beyond the number taken."""
    changed: int
    """Prompts whose first answer was not the best."""


def best_answers(
    samples: Sequence[Sample], recipe: Recipe, scorer: Scorer, context_of: ContextOf = lambda _: None
) -> Distilled:
    """Of the first `data.samples` answers to a prompt of the fit part keep the best, or all without `data.best_of`.

    With `data.samples` 1 every row stays: then traffic itself says how often each prompt is asked. Other parts stay as
    they are. A scorer that cannot be carried out here (a judge, people's scores) leaves the first answer.

    Raises:
        ScorerError: the scorer cannot be carried out as it is set.
    """
    take = recipe.data.samples
    if take == 1:
        return Distilled(list(samples), 0, 0, 0)
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.part == "fit":
            groups.setdefault(sample.prompt, []).append(sample)
    kept: set[int] = set()
    changed = 0
    for group in groups.values():
        taken = group[:take]
        best = best_of(taken, scorer, context_of) if recipe.data.best_of else 0
        changed += best > 0
        kept.update(id(one) for one in (taken[best : best + 1] if recipe.data.best_of else taken))
    found = [sample for sample in samples if sample.part != "fit" or id(sample) in kept]
    several = sum(len(group) > 1 for group in groups.values())
    return Distilled(found, several, len(samples) - len(found), changed)


def best_of(group: Sequence[Sample], scorer: Scorer, context_of: ContextOf = lambda _: None) -> int:
    """Which of these answers to one prompt is the best; the first of those that are as good."""
    if len(group) == 1 or isinstance(scorer, FeedbackScorer | JudgeScorer):
        return 0
    context = context_of(group[0]) or Context(prompt=group[0].prompt)
    answers = [sample.answer for sample in group]
    if needs_reference(scorer):
        values = [_agreement(at, answers, scorer, context) for at in range(len(answers))]
    else:
        values = [_value(scorer, answer, None, context) for answer in answers]
    return max(range(len(values)), key=lambda at: (values[at], -at))


def _agreement(at: int, answers: Sequence[str], scorer: Scorer, context: Context) -> float:
    """Mean score beside every other answer; one that cannot be scored as a reference (SQL that does not run) lends
    nothing."""
    others = [other for place, other in enumerate(answers) if place != at]
    return sum(_value(scorer, answers[at], other, context) for other in others) / len(others)


def _value(scorer: Scorer, answer: str, reference: str | None, context: Context) -> float:
    return score(scorer, answer, reference, context).value or 0.0
