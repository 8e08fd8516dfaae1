"""What people said of an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from freehold.domain.scoring import Score, scored
from freehold.scorers.base import Unusable


def score_feedback(scores: Sequence[float]) -> Score:
    """The mean of people's scores; scores that are not in [0, 1] are not counted."""
    usable = [value for value in scores if math.isfinite(value) and 0.0 <= value <= 1.0]
    if not usable:
        raise Unusable("Nobody has scored this answer.")
    return scored(math.fsum(usable) / len(usable), f"The mean of {len(usable)} score(s) by people.")
