"""Does a judge judge as people do? Until that is known well enough, it cannot certify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

from freehold.domain.errors import EvidenceError

LEVEL = 0.05
"""One-sided level of the lower bound."""
Preference = Literal["answer", "tie", "reference"]


class JudgeAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """How often a judge preferred as people did, over pairs of answers that both judged."""

    pairs: int
    agreed: int
    share: float
    lower: float
    """Clopper–Pearson lower bound of the share, one-sided, at 95%."""
    kappa: float | None
    """Cohen's kappa: agreement beyond chance; None where it is not defined (no pairs, or chance alone agrees fully)."""


def preference(answer: float, reference: float) -> Preference:
    """Which of two scored answers is preferred."""
    return "tie" if answer == reference else "answer" if answer > reference else "reference"


def judge_agreement(pairs: Iterable[tuple[Preference, Preference]]) -> JudgeAgreement:
    """The agreement over (judge's, people's) preferences.

    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).
    """
    counts = Counter(pairs)
    n = counts.total()
    agreed = sum(count for (ours, theirs), count in counts.items() if ours == theirs)
    chance = 0.0
    for name in ("answer", "tie", "reference"):
        by_judge = sum(count for (ours, _), count in counts.items() if ours == name)
        by_people = sum(count for (_, theirs), count in counts.items() if theirs == name)
        chance += by_judge * by_people / (n * n) if n else 0.0
    share = agreed / n if n else 0.0
    return JudgeAgreement(
        pairs=n,
        agreed=agreed,
        share=share,
        lower=clopper_pearson_lower(agreed, n, LEVEL),
        kappa=(share - chance) / (1.0 - chance) if n and chance < 1.0 else None,
    )


def may_certify(agreement: JudgeAgreement, minimum: float = 0.8, minimum_pairs: int = 50) -> None:
    """Let a judge pass whose agreement with people is at least `minimum`, as far as the pairs can show.

    Raises:
        EvidenceError: there are too few pairs, or the lower bound of the agreement is below the minimum.
    """
    if agreement.pairs < minimum_pairs:
        raise EvidenceError(
            f"A judge is believed after {minimum_pairs} pairs that people judged as well; there are {agreement.pairs}.",
            "Score both answers of more audited requests (POST /v1/feedback).",
        )
    if agreement.lower < minimum:
        raise EvidenceError(
            f"The judge agrees with people on {agreement.agreed} of {agreement.pairs} pairs: that shows an agreement "
            f"of {agreement.lower:.0%} or more, and {minimum:.0%} is asked for.",
            "Sharpen its criteria, take another model, or collect more feedback.",
        )


def clopper_pearson_lower(successes: int, n: int, level: float) -> float:
    """Exact lower bound of a binomial share at one-sided `level`; 0 without successes.

    C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26 (1934).
    """
    if successes == 0:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(successes, n - successes + 1, level))
