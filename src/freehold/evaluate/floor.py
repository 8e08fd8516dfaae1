"""How often the incumbent disagrees with itself: no student can be held to less."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from freehold.domain.answers import disagreement
from freehold.stats import clopper_pearson_interval
from freehold.store.traces.read import read_traces

if TYPE_CHECKING:
    from freehold.store import Store


class Floor(NamedTuple):
    """The incumbent's disagreement with itself, from requests it was asked twice."""

    pairs: int
    disagreements: int

    @property
    def rate(self) -> float | None:
        """The share of pairs that differ; None without pairs."""
        return self.disagreements / self.pairs if self.pairs else None

    def above(self, epsilon: float) -> bool:
        """Whether it is above `epsilon` with 95% confidence (Clopper and Pearson, 1934)."""
        return self.pairs > 0 and clopper_pearson_interval(self.disagreements, self.pairs, 0.1)[0] > epsilon


def self_disagreement(store: Store, task_id: str, since_ns: int = 0) -> Floor:
    """Compare each repeat with the answer it repeats."""
    traces = read_traces(
        store,
        task=task_id,
        kinds=("request", "repeat"),
        since_ns=since_ns,
        columns=("trace_id", "of", "kind", "status", "answer"),
    ).filter(pl.col("status") == 200)
    first = traces.filter(pl.col("kind") == "request").select(of="trace_id", first="answer")
    pairs = traces.filter(pl.col("kind") == "repeat").join(first, on="of", how="inner")
    differing = [disagreement(b or "", a or "") for a, b in pairs.select("first", "answer").iter_rows()]
    return Floor(len(differing), int(sum(differing)))
