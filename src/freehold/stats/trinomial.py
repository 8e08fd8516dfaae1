"""The test for losses that are −1, 0 or 1 each: the signed loss of right/wrong scores. H0: the mean loss is ε or more.

Harm and gain are counts (a, b) out of n, trinomial with chances p₊ and p₋; the question is about p₊ − p₋, and how often
the two answers differ at all, q = p₊ + p₋, is a nuisance. Samples are ordered by the score statistic with the variance
estimated under H0, z = (a − b − nε)/√(n·(q̃ − ε²)): Tango, "Equivalence test and confidence interval for the difference
in proportions for the paired-sample design", Statist. Med. 17 (1998). Its exact distribution hardly depends on q. The
p-value is the largest chance, over a 1 − γ Clopper–Pearson interval C of q, that a sample at the edge of H0 comes out
as low or lower, plus γ = δ/50: Berger and Boos, "P values maximized over a confidence set for the nuisance parameter",
J. Amer. Statist. Assoc. 89 (1994); for matched pairs, Berger and Sidik, "Exact unconditional tests for a 2 × 2
matched-pairs design", Statist. Methods Med. Res. 12 (2003).

Why it is valid at every sample size and for the whole of H0, not only at its edge and at grid points:

- R, the samples as low as the one seen, is made such that less harm (+1 → 0) or more gain (0 → −1) never leaves it. By
  coupling, P(R) then falls in p₊ and rises in p₋. So for a given q the worst of H0 is mean ε, and for all q between u
  and w, P(R) is at most its value at p₊ = (u + ε)/2, p₋ = (w − ε)/2. C is cut into cells [u, w] and this bound is
  taken in each. Cells are split until the answer at δ is clear; the smallest cost 0.02 σ/√n.
- P(q ∉ C) ≤ γ, and the p-value is never below the exact one where q ∈ C; so P(p ≤ δ) ≤ γ + (δ − γ).

Its exact level at the edge of H0 (ε = δ = 0.05, summed over all samples) is .045 to .048 for q from 0.1 to 0.7 and n =
300 to 3,000, and .035 to .047 for q from 0.0505 (no gain to speak of) to 0.06. Samples are drawn from the same
trinomial; their order is nothing to the test. Power beside the normal limit and other tests: `freehold.stats.limits`.
"""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats.betting import PValue
from freehold.stats.checks import FloatArray, Floats, as_losses, check_level
from freehold.stats.special import beta_quantile, beta_upper_quantile, log_beta, smooth_binomial_cdf

NUISANCE_SHARE = 0.02
"""γ/δ: what the confidence interval of q may cost."""
CELLS = (12, 48, 192)
"""Into how many cells the interval of q is cut, until the answer is clear."""
_SPREAD, _SLACK = 6.5, 1e-9


def trinomial_p_value(losses: Floats, epsilon: float, *, delta: float = 0.05) -> float:
    """The p-value of H0 "the mean loss is ε or more" for `losses`, shape (n,), each −1, 0 or 1, in any order.

    Any δ gives a valid p-value. It is made for a test at δ: never below δ/50, sharp near δ, and elsewhere up to twice
    the exact value. Without evidence it is 1.

    Raises:
        EvidenceError: some loss is not −1, 0 or 1.
        RequestError: ε lies outside (−1, 1), or δ outside (0, 1).
    """
    values = as_losses(losses, -1.0, 1.0)
    harms, gains = int((values == 1.0).sum()), int((values == -1.0).sum())
    if harms + gains + int((values == 0.0).sum()) != values.size:
        raise EvidenceError(
            "The trinomial test was asked for, but some losses are not −1, 0 or 1.",
            "Use the betting test for graded losses.",
        )
    return trinomial_count_p_value(harms, gains, values.size, epsilon, delta=delta)


def trinomial_test(delta: float) -> PValue:
    """`trinomial_p_value` aimed at `delta`, to give to `fixed_sequence_test`."""
    return partial(trinomial_p_value, delta=delta)


def trinomial_count_p_value(harms: int, gains: int, n: int, epsilon: float, *, delta: float = 0.05) -> float:
    """`trinomial_p_value` of n losses of which `harms` are 1 and `gains` −1. Same errors."""
    check_level("delta", delta)
    if not -1.0 < epsilon < 1.0:
        raise RequestError(f"`epsilon` is {epsilon}, outside (−1, 1).", "Choose an ε inside the losses' range.")
    if harms < 0 or gains < 0 or harms + gains > n:
        raise EvidenceError(f"{harms} harms and {gains} gains of {n} is impossible.", "Count them together.")
    if harms - gains >= n * epsilon:
        return 1.0
    gamma = NUISANCE_SHARE * delta
    low, high = (max(end, abs(epsilon)) for end in _interval(harms + gains, n, gamma))
    fewest, most = _gains_between(n, (low - epsilon) / 2, (high - epsilon) / 2)
    region = _Region(harms, gains, n, epsilon, fewest, most)
    p = 1.0
    for cells in CELLS:
        edges = np.linspace(low, high, cells + 1)
        bound = region.chances((edges[:-1] + epsilon) / 2, (edges[1:] - epsilon) / 2).max()
        p = min(p, float(bound) + gamma + _SLACK)
        if p <= delta or cells == CELLS[-1]:
            break
        at_least = region.chances((edges + epsilon) / 2, (edges - epsilon) / 2).max() + gamma
        if at_least > delta:
            break
    return p


class _Region:
    """R: for each number of gains, the most harms with which a sample counts as low as the one seen, −1 for none."""

    def __init__(self, harms: int, gains: int, n: int, epsilon: float, fewest: int, most: int) -> None:
        self._n = n
        self._gains: FloatArray = np.arange(fewest, most + 1, dtype=np.float64)
        limit = float(_score(np.array(float(harms)), np.array(float(gains)), n, epsilon)) + _SLACK
        # z rises with the harms as long as it is below 0: bisection. `inside` is in R (or −1), `outside` is not.
        inside: FloatArray = np.full(self._gains.size, -1.0)
        outside: FloatArray = np.clip(np.ceil(self._gains + n * epsilon), 0.0, n - self._gains + 1.0)
        while (outside - inside).max() > 1.0:
            middle = np.floor((inside + outside) / 2)
            low = (middle < 0) | (_score(np.maximum(middle, 0.0), self._gains, n, epsilon) <= limit)
            inside, outside = np.where(low, middle, inside), np.where(low, outside, middle)
        self._harms: FloatArray = np.maximum.accumulate(inside)

    def chances(self, harm: FloatArray, gain: FloatArray) -> FloatArray:
        """P(R) for chances of harm and gain, shape (k,) each: a sum over the gains of binomial tails of the harms."""
        b, n = self._gains, self._n
        p = np.clip(gain, 1e-300, 1.0 - 1e-16)[:, None]
        log_pmf = b * np.log(p) + (n - b) * np.log1p(-p) - log_beta(b + 1.0, n - b + 1.0) - np.log(n + 1.0)
        rest = n - b
        harms = np.minimum(self._harms, rest - 1.0)  # all of the rest: the tail is 1, set below
        of_rest = np.minimum(harm[:, None] / (1.0 - p), 1.0)
        tails = smooth_binomial_cdf(np.maximum(harms, 0.0), np.maximum(rest, 1.0), of_rest)
        tails = np.where(self._harms < 0, 0.0, np.where(self._harms >= rest, 1.0, tails))
        return (np.exp(log_pmf) * tails).sum(axis=1)


def _score(harms: FloatArray, gains: FloatArray, n: int, epsilon: float) -> FloatArray:
    """z; the estimate of p₋ under "the mean is ε" is the larger root of a quadratic (Tango 1998)."""
    linear = (harms + gains) * (1.0 - epsilon) - 2.0 * epsilon * (n - harms)
    root = np.sqrt(np.maximum(linear * linear + 8.0 * n * gains * epsilon * (1.0 - epsilon), 0.0))
    gain = np.maximum((linear + root) / (4.0 * n), max(-epsilon, 0.0))
    variance = np.maximum(2.0 * gain + epsilon - epsilon * epsilon, 1e-300)
    return (harms - gains - n * epsilon) / np.sqrt(n * variance)


def _interval(differing: int, n: int, gamma: float) -> tuple[float, float]:
    """Clopper–Pearson for q, γ/2 on each side."""
    low = 0.0 if differing == 0 else beta_quantile(gamma / 2, differing, n - differing + 1)
    high = 1.0 if differing == n else beta_upper_quantile(gamma / 2, differing + 1, n - differing)
    return low, high


def _gains_between(n: int, low: float, high: float) -> tuple[int, int]:
    """The numbers of gains that matter for p₋ in [low, high]: others have less than `_SLACK` of chance together."""
    least, largest = n * low, n * high
    fewest = least - _SPREAD * sqrt(least) - 5.0
    most = largest + _SPREAD * sqrt(largest) + 40.0
    return max(0, int(fewest)), min(n, int(most) + 1)
