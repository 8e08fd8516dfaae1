"""What is measured of a router on rows that neither fitted, chose nor certified anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freehold.evaluate.ladder import Answered, Ladder, answer, every_step
from freehold.signals.ladder import Expected
from freehold.stats.walks import Risk, risk_losses
from freehold.train.ladder import Prepared

Floats = NDArray[np.float64]
NOISE = 1.645
"""Standard errors by which a test loss must exceed ε to be a violation beyond the noise of the test part (5%)."""


class Seen(NamedTuple):
    """One split's outcome."""

    saving: float
    served_share: float
    loss: float
    violation: bool
    beyond_noise: bool


def seen(done: Answered, rows: Prepared, risk: Risk, epsilon: float) -> Seen:
    """What a router's answers to the test rows saved and lost."""
    losses = risk_losses(done.losses, done.accepted, risk)
    mean = float(losses.mean()) if losses.size else 0.0
    error = float(losses.std()) / np.sqrt(losses.size) if losses.size else 0.0
    return Seen(
        saving=saving(done, rows),
        served_share=float(done.accepted.mean()),
        loss=mean,
        violation=mean > epsilon,
        beyond_noise=mean - NOISE * error > epsilon,
    )


def saving(done: Answered, rows: Prepared) -> float:
    """Dollars saved, as a share of always asking the incumbent."""
    return 1.0 - float(done.dollars.sum()) / float(rows.costs[:, 0].sum())


def best_possible(expected: Expected, rows: Prepared, ladder: Ladder, risk: Risk, epsilon: float) -> float:
    """The best saving of any step whose loss on the test rows themselves is at most ε."""
    best = 0.0
    for step in every_step(risk, epsilon):
        done = answer(expected, rows.losses, rows.costs, ladder, step)
        losses = risk_losses(done.losses, done.accepted, risk)
        if losses.size and losses.mean() <= epsilon:
            best = max(best, saving(done, rows))
    return best


class Recovered(NamedTuple):
    """How much of the gap between the weak and the incumbent is recovered, by share of calls to the incumbent."""

    apgr: float
    """Mean over call shares from 0 to 1."""
    cpt50: float
    """Smallest share of calls that recovers half of the gap."""
    cpt80: float


def recovered(foreseen: Floats, losses: Floats, gap: float) -> Recovered:
    """As in Ong and others, "RouteLLM: learning to route LLMs with preference data" (2024).

    `foreseen` (n,): predicted loss; the incumbent is called where it is largest. `losses` (n,): the loss where it is
    not called. `gap`: by how much the incumbent's mean score is above the weakest candidate's.
    """
    if gap <= 0.0:
        return Recovered(float("nan"), float("nan"), float("nan"))
    order = np.argsort(-foreseen, kind="stable")
    left = losses.sum() - np.concatenate(([0.0], np.cumsum(losses[order])))
    shares = np.linspace(0.0, 1.0, len(left))
    gaps = 1.0 - left / len(losses) / gap
    return Recovered(float(np.trapezoid(gaps, shares)), _first(shares, gaps, 0.5), _first(shares, gaps, 0.8))


def area(expected: Expected, rows: Prepared, ladder: Ladder, risk: Risk, epsilon: float) -> float:
    """Area under the cost–quality curve: mean share of the gap recovered, over dollars from the cheapest to all."""
    points = [(1.0, 0.0)]
    for step in every_step(risk, epsilon):
        done = answer(expected, rows.losses, rows.costs, ladder, step)
        points.append((float(done.dollars.sum() / rows.costs[:, 0].sum()), float(done.losses.mean())))
    points.sort()
    cost, loss = np.array([x for x, _ in points]), np.array([y for _, y in points])
    gap = float(rows.losses.mean(0).max())
    if gap <= 0.0 or cost[-1] - cost[0] <= 0.0:
        return float("nan")
    return float(np.trapezoid(1.0 - loss / gap, (cost - cost[0]) / (cost[-1] - cost[0])))


def _first(shares: Floats, gaps: Floats, wanted: float) -> float:
    reached = np.flatnonzero(gaps >= wanted)
    return float(shares[reached[0]]) if len(reached) else 1.0
