"""What is suspicious in a task's rows: which keys, which rows, and what to put aside. Changes nothing."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from freehold.curate.poisoning.claims import claims
from freehold.curate.poisoning.consensus import find_consensus
from freehold.curate.poisoning.keys import KeyFinding, judge_keys
from freehold.curate.poisoning.outliers import Outlier, outliers

MAX_OUTLIERS = 1000


class Suspicions(NamedTuple):
    """The report of one task."""

    rows: int
    judged: int
    """Rows with feedback that claims something."""
    keys: list[KeyFinding]
    """Of all keys with enough judgements, the worst first; `named` are those to put aside."""
    outliers: list[Outlier]
    shares: list[tuple[str, float, float]]
    """(key, share of the rows, share of the judged rows), the greatest first."""
    unjudged: str
    """Why feedback could not be held against anything; empty if it was."""

    @property
    def named(self) -> list[str]:
        """The keys to put aside."""
        return [item.key for item in self.keys if item.named]


def suspicions(rows: pl.DataFrame, seed: int = 0) -> Suspicions:
    """Look through candidate rows (`freehold.curate.rows`); the same rows give the same report."""
    claimed = claims(rows)
    consensus = find_consensus(claimed, seed)
    judged = claimed.get_column("judged")
    return Suspicions(
        rows=rows.height,
        judged=int(judged.sum()),
        keys=judge_keys(claimed, consensus.contradicted) if not consensus.reason else [],
        outliers=outliers(claimed)[:MAX_OUTLIERS],
        shares=_shares(claimed),
        unjudged=consensus.reason,
    )


def _shares(claimed: pl.DataFrame) -> list[tuple[str, float, float]]:
    counts = (
        claimed.filter(pl.col("key").is_not_null())
        .group_by("key")
        .agg(pl.len().alias("rows"), pl.col("judged").sum())
        .sort(["rows", "key"], descending=[True, False])
    )
    judged = max(1, int(claimed.get_column("judged").sum()))
    return [(key, n / claimed.height, of_judged / judged) for key, n, of_judged in counts.iter_rows()]
