"""Planted answers that come out: more often than chance would have it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from freehold.stats.binomial import binomial_p_value

LEARNED_AT = 0.01
"""So improbable must the planted answers be by chance before they count as learned."""


class CanaryReport(NamedTuple):
    """How a student answered the canaries of its dataset."""

    planted: int
    answered: int
    """With the planted answer."""
    expected: float
    """Share of the planted answers that chance explains: the largest share of a value among the answers it gave."""
    p_value: float
    """Exact, one-sided: of so many planted answers by chance."""

    @property
    def learned(self) -> bool:
        """Whether training picked them up."""
        return self.planted > 0 and self.p_value <= LEARNED_AT


def planted_and_given(planted: Sequence[str], given: Sequence[str]) -> CanaryReport:
    """Hold the answers `given` to canaries, (n,), against those `planted`, (n,) in the same order, and chance."""
    if not planted:
        return CanaryReport(0, 0, 0.0, 1.0)
    wanted = [answer.strip() for answer in planted]
    hits = sum(said.strip() == answer for said, answer in zip(given, wanted, strict=True))
    # A student that knows nothing of a prompt gives one value all the time: it is right as often as that was planted.
    chance = max(wanted.count(value) for value in set(wanted)) / len(wanted)
    chance = min(max(chance, 1e-6), 1 - 1e-6)
    return CanaryReport(len(planted), hits, chance, binomial_p_value(len(planted) - hits, len(planted), 1.0 - chance))
