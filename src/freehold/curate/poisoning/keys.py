"""Which keys' feedback contradicts what all others say more often than chance and their own mistakes explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from freehold.stats.binomial import binomial_p_value, clopper_pearson_upper

if TYPE_CHECKING:
    from numpy.typing import NDArray

FALSE_DISCOVERIES = 0.01
"""Expected share of honest keys among those that are named, at most."""
MIN_JUDGED = 10
"""Judgements of a key below which nothing is said of it."""
MIN_EXCESS = 0.15
"""Keys differ in how hard their requests are, which an exact test would find too: named is only who contradicts the
others by at least this share of judgements more than they do each other."""
_ROUNDS = 5
_BASE_LEVEL = 0.05


class KeyFinding(NamedTuple):
    """What is known of one key's feedback."""

    key: str
    judged: int
    contradicted: int
    expected: float
    """Share that others' feedback has, as an upper bound at 95%."""
    p_value: float
    """Exact, one-sided: of so many contradictions, were the key like the others."""
    q_value: float
    """Adjusted for the number of keys."""
    named: bool

    @property
    def rate(self) -> float:
        """Share of its judgements that are contradicted."""
        return self.contradicted / self.judged if self.judged else 0.0


def judge_keys(
    claimed: pl.DataFrame, contradicted: NDArray[np.bool_], *, level: float = FALSE_DISCOVERIES,
    min_judged: int = MIN_JUDGED, min_excess: float = MIN_EXCESS,
) -> list[KeyFinding]:  # fmt: skip
    """What each key's judgements come to, the worst first.

    An exact binomial test of each key against all others' rate, where those named already no longer count among the
    others; Benjamini and Hochberg's step-up procedure over the keys ("Controlling the False Discovery Rate", JRSS B
    1995).

    Args:
        claimed: see `freehold.curate.poisoning.claims`.
        contradicted: (n,): whether the others contradict each claim.
        level: the false discovery rate.
        min_judged: keys with fewer judgements are not tested.
        min_excess: how far a key's rate must lie above the others'.
    """
    counts = (
        claimed.with_columns(against=pl.Series(contradicted))
        .filter(pl.col("judged"))
        .group_by("key")
        .agg(pl.len().alias("n"), pl.col("against").sum().alias("c"))
        .sort("key")
    )
    totals = {key: (int(n), int(c)) for key, n, c in counts.iter_rows()}
    tested = [key for key, (n, _) in totals.items() if key is not None and n >= min_judged]
    named: frozenset[str] = frozenset()
    findings: list[KeyFinding] = []
    for _ in range(_ROUNDS):
        findings = _tested(totals, tested, named, level, min_excess)
        found = frozenset(item.key for item in findings if item.named)
        if found <= named:
            break
        named |= found
    return sorted(findings, key=lambda item: (item.p_value, -item.rate, item.key))


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values, (n,): rejecting those ≤ q keeps the false discovery rate at q for independent tests."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _tested(
    totals: dict[str | None, tuple[int, int]], tested: list[str], named: frozenset[str], level: float, excess: float
) -> list[KeyFinding]:
    if not tested:
        return []
    expected = [_others(totals, key, named) for key in tested]
    p_values = np.array(
        [binomial_p_value(totals[key][0] - totals[key][1], totals[key][0], 1.0 - base)
         for key, base in zip(tested, expected, strict=True)]
    )  # fmt: skip
    adjusted = benjamini_hochberg(p_values)
    return [
        KeyFinding(
            key, *totals[key], base, float(p), float(q),
            named=bool(q <= level and totals[key][1] / totals[key][0] >= base + excess),
        )
        for key, base, p, q in zip(tested, expected, p_values, adjusted, strict=True)
    ]  # fmt: skip


def _others(totals: dict[str | None, tuple[int, int]], key: str, named: frozenset[str]) -> float:
    """Upper bound of the share of contradictions in the feedback of the others that are not named."""
    others = [count for other, count in totals.items() if other != key and other not in named]
    n, c = sum(count[0] for count in others), sum(count[1] for count in others)
    if n == 0:  # nobody to be held against: nothing can be said
        return 1.0 - 1e-9
    return min(max(clopper_pearson_upper(c, n, _BASE_LEVEL), 1e-6), 1.0 - 1e-9)
