"""Balance: no answer has far more rows to fit on than others."""

from __future__ import annotations

import math

import polars as pl

from freehold.config.curate_settings import Balance
from freehold.curate.samples import fold, share_of
from freehold.curate.steps.base import Chosen, Scope, kept_where


class BalanceStep:
    """Keeps of each answer at most so many rows to fit on, drawn by a hash of their ids."""

    name = "balance"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Balance) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_label`: a hash of the answer, whatever its case and spacing; `_draw`: one of the row's id."""
        labels = [share_of(fold(answer)) for answer in rows.get_column("answer")]
        draws = [share_of(row) for row in rows.get_column("row")]
        return pl.DataFrame({"_label": labels, "_draw": draws}, schema={"_label": pl.Float64, "_draw": pl.Float64})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Of rows to fit on, those beyond the limit go."""
        fit = pl.col("part") == "fit"
        counts = rows.filter(fit).group_by("_label").len().get_column("len")
        if counts.is_empty():
            return kept_where(pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True), "")
        limit = math.ceil(self._settings.max_ratio * float(counts.median()))  # type: ignore[arg-type]
        place = pl.struct("_draw", "row").rank("ordinal").over("_label", "part")
        return kept_where(rows.select(~fit | (place <= limit)).to_series(), "more than enough of its answer")
