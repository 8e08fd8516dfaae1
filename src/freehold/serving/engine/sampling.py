"""Which token comes next, and how likely it was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Likely(NamedTuple):
    """A token and its log-probability."""

    token: int
    logprob: float


class Best(NamedTuple):
    """Of each row: the likeliest token, its logit, and the log of the sum of all exp(logit - that logit)."""

    tokens: npt.NDArray[np.intp]
    peaks: Floats
    spreads: Floats | None


def best_of(logits: Floats, *, spread: bool) -> Best:
    """`logits` (rows, vocabulary) → the likeliest; `spread`: with what log-probabilities need."""
    tokens = logits.argmax(1)
    peaks = logits[np.arange(len(tokens)), tokens]
    if not spread:
        return Best(tokens, peaks, None)
    shifted = logits - peaks[:, None]
    np.exp(shifted, shifted)
    return Best(tokens, peaks, np.log(shifted.sum(1)))


def sample(logits: Floats, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """One token of (vocabulary,) logits; `top_p`: of the fewest tokens that have this share together (Holtzman et al.
    2020)."""
    if temperature <= 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    weights /= weights.sum()
    if top_p < 1.0:
        order = np.argsort(-weights, kind="stable")
        before = np.cumsum(weights[order]) - weights[order]
        weights[order[before >= top_p]] = 0.0
        weights /= weights.sum()
    return int(min(np.searchsorted(np.cumsum(weights), random.random(), "right"), len(weights) - 1))


def likeliest(logits: Floats, count: int, peak: float, spread: float) -> list[Likely]:
    """The `count` likeliest tokens of (vocabulary,) logits, likeliest first."""
    count = min(count, len(logits))
    some = np.argpartition(-logits, count - 1)[:count]
    ordered = some[np.argsort(-logits[some], kind="stable")]
    return [Likely(int(token), float(logits[token]) - peak - spread) for token in ordered]
