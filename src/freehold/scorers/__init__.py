"""How good an answer is, in [0, 1]: one file per family of scorers, one entrance for all of them.

Public names:

- `score`, `compare`, `compare_async`, `check`, `needs_reference`: carry out a `freehold.domain.scoring.Scorer`
- `Context`, `context_of`: what is known of the request
- `guess`, `Guess`: choose a scorer from recorded answers
- `Ask`, `JudgeAgreement`, `judge_agreement`, `preference`, `may_certify`: judges, and whether to believe them
"""

from freehold.scorers.agreement import JudgeAgreement, judge_agreement, may_certify, preference
from freehold.scorers.base import Context
from freehold.scorers.dispatch import check, compare, compare_async, needs_reference, score
from freehold.scorers.guess import Guess, guess
from freehold.scorers.judge import Ask
from freehold.scorers.requests import context_of

__all__ = [
    "Ask",
    "Context",
    "Guess",
    "JudgeAgreement",
    "check",
    "compare",
    "compare_async",
    "context_of",
    "guess",
    "judge_agreement",
    "may_certify",
    "needs_reference",
    "preference",
    "score",
]
