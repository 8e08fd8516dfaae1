"""Near-duplicates: rows whose prompt is nearly that of another row."""

from __future__ import annotations

import polars as pl

from freehold.config.curate_settings import NearDuplicates
from freehold.curate.steps.base import Chosen, Scope
from freehold.curate.steps.minhash import SIZE, duplicates_of, signatures

HELD_OUT_FIRST = pl.col("part").replace_strict({"certify": 0, "tune": 1, "fit": 2}, return_dtype=pl.Int8)
"""Order of precedence: what is held out stays, and what is like it must not be learnt from."""


class NearDuplicatesStep:
    """Keeps of rows that are alike the one that is held out, else the earliest. Rows to learn from that are like one
    that is held out would let a student know its answer beforehand."""

    name = "near-duplicates"
    scope: Scope = "training"

    def __init__(self, settings: NearDuplicates) -> None:
        self._settings = settings
        self.needs = ("prompt",) if settings.by == "prompt" else ("prompt", "answer")

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_signature`: what rows are compared by at first."""
        signed = signatures(self._texts(rows), self._settings.words)
        return pl.DataFrame({"_signature": pl.Series(signed, dtype=pl.Array(pl.UInt16, SIZE))})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows that are like another go; whether they are is computed exactly."""
        ranked = rows.with_row_index("_at").sort(HELD_OUT_FIRST, "at_ns", "row")
        signed = ranked.get_column("_signature").to_numpy()
        parts = ranked.get_column("part").to_numpy()
        held = int((parts == "certify").sum())
        like = duplicates_of(self._texts(ranked), signed, self._settings.words, self._settings.threshold, held)
        found = ranked.select("_at", gone=pl.Series(like >= 0), leaks=pl.Series(parts[like] != parts)).sort("_at")
        why = pl.when("leaks").then(pl.lit("nearly what is held out")).otherwise(pl.lit("nearly said before"))
        reasons = found.select(pl.when("gone").then(why)).to_series()
        return Chosen(reasons.is_null(), reasons)

    def _texts(self, rows: pl.DataFrame) -> pl.Series:
        if self._settings.by == "prompt":
            return rows.get_column("prompt")
        return rows.select(pl.format("{}\n{}", "prompt", "answer")).to_series()
