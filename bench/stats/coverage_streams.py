"""The simulated traffic: where the truth is known, so that a false certificate or alarm can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from coverage_methods import GRADED, METHODS, Evidence, Method

from freehold.stats.checks import FloatArray

EPSILON, DELTA = 0.05, 0.05
BAD = 1.02 * EPSILON
"""The risk of rungs that must not pass: just above ε, where it is hardest to tell."""

Draw = Callable[[np.random.Generator, int], tuple[FloatArray, FloatArray]]
Risk = Callable[[float], float]
_LEVELS = ((0.99, 0.3, 0.03), (0.9, 0.3, 0.08), (0.5, 0.4, 0.2))
"""Heavy ties: (signal, its share, its error rate)."""


@dataclass(frozen=True)
class Scenario:
    """One kind of traffic, how often a certificate is tried for, and on what."""

    name: str
    draw: Draw
    risk: Risk
    """The true risk per served request at a threshold."""
    methods: dict[str, Method]
    looks: int = 1
    refit: bool = False
    """Each look has a new rung and new evidence; else one rung's certify part grows."""


def useful(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    signals = rng.random(n)
    return signals, (rng.random(n) < 0.5 * np.exp(-8 * signals)).astype(float)


def useful_risk(threshold: float) -> float:
    t = max(threshold, 0.0)
    return 0.5 * (np.exp(-8 * t) - np.exp(-8.0)) / 8 / (1 - t)


def useless(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    return rng.random(n), (rng.random(n) < BAD).astype(float)


def ties(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    level = rng.choice(3, p=[share for _, share, _ in _LEVELS], size=n)
    signals, rates = np.array([s for s, _, _ in _LEVELS]), np.array([r for _, _, r in _LEVELS])
    return signals[level], (rng.random(n) < rates[level]).astype(float)


def ties_risk(threshold: float) -> float:
    kept = [(share, rate) for signal, share, rate in _LEVELS if signal >= threshold]
    return sum(share * rate for share, rate in kept) / sum(share for share, _ in kept)


def tiny(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    return rng.random(n), rng.uniform(0.0, 2 * BAD, n)


def graded(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    signals = rng.random(n)
    return signals, rng.random(n) * 2 * 0.5 * np.exp(-8 * signals)


def drifting(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """The error rate rises along the window from half to one and a half times its mean, which is just above ε."""
    return rng.random(n), (rng.random(n) < BAD * np.linspace(0.5, 1.5, n)).astype(float)


def flat_risk(_threshold: float) -> float:
    return BAD


SCENARIOS = (
    Scenario("useful signal", useful, useful_risk, METHODS),
    Scenario("useless signal, risk 1.02 ε", useless, flat_risk, METHODS),
    Scenario("heavy ties", ties, ties_risk, METHODS),
    Scenario("drifting traffic, mean risk 1.02 ε", drifting, flat_risk, METHODS),
    Scenario("graded losses, useful signal", graded, useful_risk, GRADED),
    Scenario("tiny losses (0 to 2.04 ε), mean 1.02 ε", tiny, flat_risk, GRADED),
    Scenario("30 looks at growing evidence, risk 1.02 ε", useless, flat_risk, METHODS, looks=30),
    Scenario("30 refits, risk 1.02 ε", useless, flat_risk, METHODS, looks=30, refit=True),
    Scenario("30 looks at growing evidence, useful signal", useful, useful_risk, METHODS, looks=30),
)


def evidence_of(scenario: Scenario, rng: np.random.Generator) -> Iterator[Evidence]:
    """What the attempts of one stream see, one after another."""
    if scenario.looks == 1:
        yield Evidence(scenario.draw(rng, 400), scenario.draw(rng, 800))
        return
    sizes = np.linspace(100, 1500, scenario.looks).astype(int)
    tune, certify = scenario.draw(rng, 400), scenario.draw(rng, int(sizes[-1]))
    for size in sizes:
        if scenario.refit:
            yield Evidence(scenario.draw(rng, 400), scenario.draw(rng, int(size)))
        else:
            yield Evidence(tune, (certify[0][:size], certify[1][:size]))
