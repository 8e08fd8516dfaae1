"""The loss that a task's scorer makes of an answer, and the test that suits it: settled before any row is seen."""

from __future__ import annotations

import msgspec

from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import LossName, Sample, TestName
from freehold.domain.scoring import (
    ExactScorer,
    FeedbackScorer,
    JudgeScorer,
    NumericScorer,
    PythonScorer,
    RegexScorer,
    SchemaScorer,
    Scorer,
    SqlScorer,
    kind_of,
)
from freehold.scorers import Context, check, compare

_ALL_OR_NOTHING = (ExactScorer, NumericScorer, RegexScorer, SchemaScorer, SqlScorer)
"""By their definition these score 0 or 1 and nothing between."""
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Scorer)


def loss_terms(scorer: Scorer | None) -> tuple[LossName, TestName]:
    """The loss of a task with this scorer, and its test: exact where losses can only be 0 or 1, by betting else."""
    if scorer is None:
        return "disagreement", "exact binomial"
    exact = isinstance(scorer, _ALL_OR_NOTHING) or (isinstance(scorer, PythonScorer) and not scorer.partial)
    return "harm", "exact binomial" if exact else "betting"


def loss_of(scorer: Scorer | None, answer: str, sample: Sample) -> float:
    """How much worse than the incumbent's an answer is, in [0, 1]; what cannot be scored counts as lost.

    Raises:
        ScorerError: the scorer cannot be carried out as it is set.
    """
    if scorer is None:
        return disagreement(answer, sample.answer)
    return compare(scorer, answer, sample.answer, Context(prompt=sample.prompt)).harm


def check_scorer(scorer: Scorer | None) -> None:
    """Find out before an attempt is spent whether the scorer can say how good a student's answers are.

    Raises:
        EvidenceError: it needs people or a model to look at each answer.
        ScorerError: its options are wrong.
    """
    if isinstance(scorer, FeedbackScorer | JudgeScorer):
        raise EvidenceError(
            f"The {kind_of(scorer)} scorer cannot score a student's answers to the certify rows: nobody has seen them.",
            "Choose a scorer that computes: `freehold scorer set TASK KIND`.",
        )
    if scorer is not None:
        check(scorer)


def described(scorer: Scorer | None) -> str:
    """Canonical JSON of a scorer; empty for none."""
    return "" if scorer is None else _encoder.encode(scorer).decode()


def scorer_from(description: str) -> Scorer | None:
    """The scorer that `described` gave this for.

    Raises:
        EvidenceError: it is no scorer that this release knows.
    """
    try:
        return _decoder.decode(description) if description else None
    except msgspec.DecodeError as error:
        raise EvidenceError(
            f"The scorer {description!r} cannot be understood: {error}.", "Run the release that issued the certificate."
        ) from error
