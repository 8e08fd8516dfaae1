"""How much of δ each attempt at a certificate may spend, so that trying again and again cannot buy one.

Attempt i gets δ·6/(π²i²). The sum over all i ≥ 1 is δ (Euler: Σ 1/i² = π²/6), so by the union bound the chance that
any attempt ever certifies wrongly is at most δ, however attempts depend on one another. Spending a level over
hypotheses that arrive one after another: Foster and Stine, "α-investing", J. R. Statist. Soc. B 70 (2008), section 2
(alpha spending).
"""

from __future__ import annotations

from math import pi

from freehold.domain.errors import RequestError
from freehold.stats.checks import check_level


def spent_delta(delta: float, attempt: int) -> float:
    """The level of attempt `attempt` (1, 2, …) of a task whose whole budget is `delta`.

    Raises:
        RequestError: `delta` is not in (0, 1) or `attempt` is below 1.
    """
    check_level("delta", delta)
    if attempt < 1:
        raise RequestError(f"`attempt` is {attempt}, but attempts count from 1.", "Count the attempts of the task.")
    return delta * 6.0 / (pi * pi * attempt * attempt)
