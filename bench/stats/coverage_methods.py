"""The ways to choose an acceptance threshold that the simulation compares; ours are the shipped functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from freehold.stats import betting_test, exact_binomial, fixed_sequence_test, spent_delta, threshold_grid
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


def exact_sequence(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    grid = threshold_grid(*evidence.tune, epsilon, evidence.certify[0].size)
    return fixed_sequence_test(*evidence.certify, grid, epsilon, spent_delta(delta, attempt), exact_binomial).threshold


def exact_sequence_unspent(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    grid = threshold_grid(*evidence.tune, epsilon, evidence.certify[0].size)
    return fixed_sequence_test(*evidence.certify, grid, epsilon, delta, exact_binomial).threshold


def betting_sequence(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    level = spent_delta(delta, attempt)
    grid = threshold_grid(*evidence.tune, epsilon, evidence.certify[0].size)
    return fixed_sequence_test(*evidence.certify, grid, epsilon, level, betting_test(level)).threshold


def hoeffding_bentkus(losses: FloatArray, epsilon: float) -> float:
    """Bates et al., J. ACM 68 (2021), section 3.1: the smaller of the Hoeffding and the Bentkus p-value."""
    n, mean = losses.size, min(float(losses.mean()), epsilon)
    kept = 0.0 if mean == 0.0 else mean * np.log(mean / epsilon)
    divergence = kept + (1 - mean) * np.log((1 - mean) / (1 - epsilon))
    bentkus = np.e * float(binomial_cdf(np.ceil(n * float(losses.mean())), n, epsilon))
    return min(1.0, float(np.exp(-n * divergence)), bentkus)


def hoeffding_bentkus_sequence(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    grid = threshold_grid(*evidence.tune, epsilon, evidence.certify[0].size)
    level = spent_delta(delta, attempt)
    return fixed_sequence_test(*evidence.certify, grid, epsilon, level, hoeffding_bentkus).threshold


def clopper_pearson_search(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    """The laxest of 50 thresholds whose upper bound at δ is ≤ ε, as if it had been the only one looked at."""
    thresholds, accepted, loss_sums = _candidates(*evidence.certify)
    for i in range(thresholds.size - 1, -1, -1):
        n, errors = int(accepted[i]), round(float(loss_sums[i]))
        if errors < n and beta_upper_quantile(delta, errors + 1, n - errors) <= epsilon:
            return float(thresholds[i])
    return None


def naive(evidence: Evidence, epsilon: float, delta: float, attempt: int) -> float | None:
    """The laxest of 50 thresholds whose mean loss on all the evidence is ≤ ε."""
    signals, losses = (np.concatenate(pair) for pair in zip(evidence.tune, evidence.certify, strict=True))
    thresholds, accepted, loss_sums = _candidates(signals, losses)
    fits = np.flatnonzero(loss_sums <= epsilon * accepted)
    return float(thresholds[fits[-1]]) if fits.size else None


def _candidates(signals: FloatArray, losses: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Thresholds at equal steps in the number accepted, strictest first, with accepted counts and loss sums."""
    order = np.argsort(-signals, kind="stable")
    ranked, sums = signals[order], np.cumsum(losses[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    picked = ends[np.unique(np.linspace(0, ends.size - 1, CANDIDATES).round().astype(int))]
    return ranked[picked], picked + 1.0, sums[picked]


METHODS: dict[str, Method] = {
    "Freehold: exact sequence, δ spent": exact_sequence,
    "exact sequence, δ not spent": exact_sequence_unspent,
    "betting sequence, δ spent": betting_sequence,
    "Hoeffding–Bentkus sequence, δ spent": hoeffding_bentkus_sequence,
    "Clopper–Pearson, best of 50": clopper_pearson_search,
    "naive tuned threshold": naive,
}
GRADED: dict[str, Method] = {
    "Freehold: betting sequence, δ spent": betting_sequence,
    "Hoeffding–Bentkus sequence, δ spent": hoeffding_bentkus_sequence,
    "naive tuned threshold": naive,
}
