"""The ways to choose an acceptance threshold that the simulation compares; ours are the shipped functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from freehold.stats import (
    PValue,
    Risk,
    betting_test,
    exact_binomial,
    fixed_sequence_test,
    risk_losses,
    spent_delta,
    threshold_grid,
    trinomial_test,
)
from freehold.stats.checks import FloatArray
from freehold.stats.special import beta_upper_quantile, binomial_cdf

CANDIDATES = 50


@dataclass(frozen=True)
class Evidence:
    """What one attempt sees: signals and losses of the tune part and of the certify part."""

    tune: tuple[FloatArray, FloatArray]
    certify: tuple[FloatArray, FloatArray]


Method = Callable[[Evidence, float, float, int], float | None]
"""(evidence, ε, δ, attempt) → the threshold that is put in force, or None."""
TestFor = Callable[[float, float, FloatArray, float], PValue]
"""(level, low, tune losses of the step, ε) → the step's test."""


def sequence(test_for: TestFor, *, risk: Risk = "served", low: float = 0.0, spend: bool = True) -> Method:
    """The shipped walk over thresholds, with the given test."""

    def method(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
        level = spent_delta(delta, attempt) if spend else delta
        signals, losses = evidence.tune
        grid = threshold_grid(signals, losses, epsilon, evidence.certify[0].size, risk=risk, low=low)
        tests = [test_for(level, low, risk_losses(losses, signals >= threshold, risk), epsilon) for threshold in grid]
        return fixed_sequence_test(*evidence.certify, grid, epsilon, level, tests, risk=risk, low=low).threshold

    return method


def exact(_level: float, _low: float, _tune: FloatArray, _epsilon: float) -> PValue:
    return exact_binomial


def trinomial(level: float, _low: float, _tune: FloatArray, _epsilon: float) -> PValue:
    return trinomial_test(level)


def betting(level: float, low: float, _tune: FloatArray, _epsilon: float) -> PValue:
    return betting_test(level, low)


def betting_with_forecast(level: float, low: float, tune: FloatArray, epsilon: float) -> PValue:
    return betting_test(level, low, second_moment=float(np.mean((tune - epsilon) ** 2)) if tune.size else None)


def bentkus(_level: float, low: float, _tune: FloatArray, _epsilon: float) -> PValue:
    return lambda losses, epsilon: hoeffding_bentkus((losses - low) / (1 - low), (epsilon - low) / (1 - low))


def hoeffding_bentkus(losses: FloatArray, epsilon: float) -> float:
    """Bates et al., J. ACM 68 (2021), section 3.1: the smaller of the Hoeffding and the Bentkus p-value."""
    n, mean = losses.size, min(float(losses.mean()), epsilon)
    kept = 0.0 if mean == 0.0 else mean * np.log(mean / epsilon)
    divergence = kept + (1 - mean) * np.log((1 - mean) / (1 - epsilon))
    bentkus = np.e * float(binomial_cdf(np.ceil(n * float(losses.mean())), n, epsilon))
    return min(1.0, float(np.exp(-n * divergence)), bentkus)


def clopper_pearson_search(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    """The laxest of 50 thresholds whose upper bound at δ is ≤ ε, as if it had been the only one looked at."""
    thresholds, accepted, loss_sums = _candidates(*evidence.certify)
    for i in range(thresholds.size - 1, -1, -1):
        n, errors = int(accepted[i]), round(float(loss_sums[i]))
        if errors < n and beta_upper_quantile(delta, errors + 1, n - errors) <= epsilon:
            return float(thresholds[i])
    return None


def naive_for(risk: Risk) -> Method:
    """The laxest of 50 thresholds whose mean loss on all the evidence is ≤ ε."""

    def method(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
        signals, losses = (np.concatenate(pair) for pair in zip(evidence.tune, evidence.certify, strict=True))
        thresholds, accepted, loss_sums = _candidates(signals, losses)
        fits = np.flatnonzero(loss_sums <= epsilon * (accepted if risk == "served" else signals.size))
        return float(thresholds[fits[-1]]) if fits.size else None

    return method


def _candidates(signals: FloatArray, losses: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Thresholds at equal steps in the number accepted, strictest first, with accepted counts and loss sums."""
    order = np.argsort(-signals, kind="stable")
    ranked, sums = signals[order], np.cumsum(losses[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    picked = ends[np.unique(np.linspace(0, ends.size - 1, CANDIDATES).round().astype(int))]
    return ranked[picked], picked + 1.0, sums[picked]


METHODS: dict[str, Method] = {
    "Freehold: exact sequence, δ spent": sequence(exact),
    "exact sequence, δ not spent": sequence(exact, spend=False),
    "betting sequence, δ spent": sequence(betting),
    "Hoeffding–Bentkus sequence, δ spent": sequence(bentkus),
    "Clopper–Pearson, best of 50": clopper_pearson_search,
    "naive tuned threshold": naive_for("served"),
}


def graded_methods(risk: Risk, low: float) -> dict[str, Method]:
    """For losses that are not counted."""
    return {
        "Freehold: betting sequence with forecast, δ spent": sequence(betting_with_forecast, risk=risk, low=low),
        "betting sequence, no forecast, δ spent": sequence(betting, risk=risk, low=low),
        "Hoeffding–Bentkus sequence, δ spent": sequence(bentkus, risk=risk, low=low),
        "naive tuned threshold": naive_for(risk),
    }


def signed_methods(risk: Risk) -> dict[str, Method]:
    """For losses of −1, 0 and 1."""
    return {
        "Freehold: trinomial sequence, δ spent": sequence(trinomial, risk=risk, low=-1.0),
        "trinomial sequence, δ not spent": sequence(trinomial, risk=risk, low=-1.0, spend=False),
        "betting sequence with forecast, δ spent": sequence(betting_with_forecast, risk=risk, low=-1.0),
        "Hoeffding–Bentkus sequence, δ spent": sequence(bentkus, risk=risk, low=-1.0),
        "naive tuned threshold": naive_for(risk),
    }
