"""The samples with all answers to them and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Sample
from freehold.domain.scoring import Scorer
from freehold.evaluate.losses import check_scorer, loss_terms
from freehold.scorers import Context
from freehold.scorers import compare as score_both


class Said(NamedTuple):
    """One answer, and how good it is."""

    text: str
    score: float = 0.0
    """In [0, 1]."""
    taken: bool = True
    """Whether it would have been given: the signal reaches the threshold, and the prompt is no stranger."""
    why: str = ""
    """Of the score, in a sentence."""
    unscored: bool = False
    """It could not be scored; the score is the worst for who gave it."""


class Row(NamedTuple):
    """One sample, answered by all."""

    sample: Sample
    incumbent: Said
    candidate: Said
    in_force: Said | None = None
    key: str = ""
    """The id of the virtual key it was asked with; empty where it is not known."""

    @property
    def against_incumbent(self) -> float:
        """score(candidate) − score(incumbent)."""
        return self.candidate.score - self.incumbent.score

    @property
    def against_in_force(self) -> float | None:
        """score(candidate) − score(student in force); None where none is in force."""
        return None if self.in_force is None else self.candidate.score - self.in_force.score


def is_exact(scorer: Scorer | None) -> bool:
    """Whether scores can only be 0 or 1: settled before any answer is seen."""
    return loss_terms(scorer)[1] == "exact binomial"


def rows_of(
    samples: Sequence[Sample],
    scorer: Scorer | None,
    candidate: Sequence[Said],
    in_force: Sequence[Said] | None = None,
    keys: Mapping[str, str] | None = None,
) -> list[Row]:
    """Score answers, each (n,) in the order of `samples`, by the task's scorer against the incumbent's.

    Without a scorer an answer is as good as the incumbent's or worth nothing. `keys`: trace id → virtual key.

    Raises:
        EvidenceError: the scorer needs people or a model, or there are not as many answers as samples.
        ScorerError: the scorer cannot be carried out.
    """
    check_scorer(scorer)
    for answers in (candidate, in_force):
        if answers is not None and len(answers) != len(samples):
            raise EvidenceError(
                f"{len(answers)} answers to {len(samples)} samples cannot be compared.", "Answer every sample."
            )
    rows: list[Row] = []
    for number, sample in enumerate(samples):
        reference, own = _scored(scorer, sample, candidate[number])
        _, other = (None, None) if in_force is None else _scored(scorer, sample, in_force[number])
        rows.append(Row(sample, reference, own, other, (keys or {}).get(sample.trace_id, "")))
    return rows


def _scored(scorer: Scorer | None, sample: Sample, said: Said) -> tuple[Said, Said]:
    """The incumbent's answer and another, with their scores."""
    if scorer is None:
        differs = disagreement(said.text, sample.answer)
        why = "It differs from the incumbent's answer." if differs else "It is the incumbent's answer."
        return Said(sample.answer, 1.0), said._replace(score=1.0 - differs, why=why)
    found = score_both(scorer, said.text, sample.answer, Context(prompt=sample.prompt))
    reference, answer = found.reference, found.answer
    return (
        Said(
            sample.answer,
            1.0 if reference.value is None else reference.value,
            why=reference.detail or reference.failed,
            unscored=reference.value is None,
        ),
        said._replace(score=answer.value or 0.0, why=answer.detail or answer.failed, unscored=answer.value is None),
    )
