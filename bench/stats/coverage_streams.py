"""The simulated traffic: where the truth is known, so that a false certificate or alarm can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from coverage_methods import METHODS, Evidence, Method, graded_methods, signed_methods

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
    """The true risk at a threshold: per served request or over all traffic, whichever the methods bound."""
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


def traffic_risk(threshold: float) -> float:
    """Of `useful`, `signed_useful` and the graded ones, over all traffic."""
    return useful_risk(threshold) * (1 - max(threshold, 0.0))


def signed_at(harm: FloatArray, gain: float, rng: np.random.Generator) -> FloatArray:
    u = rng.random(harm.size)
    return np.where(u < harm, 1.0, np.where(u > 1 - gain, -1.0, 0.0))


def signed_useful(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    signals = rng.random(n)
    return signals, signed_at(0.1 + 0.5 * np.exp(-8 * signals), 0.1, rng)


def signed_useless(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    return rng.random(n), signed_at(np.full(n, BAD + 0.1), 0.1, rng)


def signed_skewed(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    return rng.random(n), signed_at(np.full(n, BAD + 0.002), 0.002, rng)


def signed_drifting(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    return rng.random(n), signed_at(0.1 + BAD * np.linspace(0.5, 1.5, n), 0.1, rng)


def signed_graded(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    signals = rng.random(n)
    noise = np.where(rng.random(n) < 0.3, rng.uniform(-0.6, 0.6, n), 0.0)
    return signals, np.where(rng.random(n) < 0.5 * np.exp(-8 * signals), 1.0, noise)


def signed_graded_useless(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    noise = np.where(rng.random(n) < 0.3, rng.uniform(-0.6, 0.6, n), 0.0)
    return rng.random(n), np.where(rng.random(n) < BAD, 1.0, noise)


GRADED, SIGNED = graded_methods("served", 0.0), signed_methods("served")
SCENARIOS = (
    Scenario("useful signal", useful, useful_risk, METHODS),
    Scenario("useless signal, risk 1.02 ε", useless, flat_risk, METHODS),
    Scenario("heavy ties", ties, ties_risk, METHODS),
    Scenario("drifting traffic, mean risk 1.02 ε", drifting, flat_risk, METHODS),
    Scenario("graded losses, useful signal", graded, useful_risk, GRADED),
    Scenario("graded losses, useful signal, traffic risk", graded, traffic_risk, graded_methods("traffic", 0.0)),
    Scenario("tiny losses (0 to 2.04 ε), mean 1.02 ε", tiny, flat_risk, GRADED),
    Scenario("signed, useful signal", signed_useful, useful_risk, SIGNED),
    Scenario("signed, useful signal, traffic risk", signed_useful, traffic_risk, signed_methods("traffic")),
    Scenario("signed, useless signal, risk 1.02 ε", signed_useless, flat_risk, SIGNED),
    Scenario("signed, skewed (5.3% harm, 0.2% gain)", signed_skewed, flat_risk, SIGNED),
    Scenario("signed, drifting, mean risk 1.02 ε", signed_drifting, flat_risk, SIGNED),
    Scenario("signed graded, useful signal", signed_graded, useful_risk, graded_methods("served", -1.0)),
    Scenario("signed graded, traffic risk", signed_graded, traffic_risk, graded_methods("traffic", -1.0)),
    Scenario("signed graded, useless, 1.02 ε", signed_graded_useless, flat_risk, graded_methods("served", -1.0)),
    Scenario("30 looks at growing evidence, risk 1.02 ε", useless, flat_risk, METHODS, looks=30),
    Scenario("30 refits, risk 1.02 ε", useless, flat_risk, METHODS, looks=30, refit=True),
    Scenario("30 refits, signed, risk 1.02 ε", signed_useless, flat_risk, SIGNED, looks=30, refit=True),
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
