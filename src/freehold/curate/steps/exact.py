"""Exact duplicates: rows that say what an earlier row said, whatever their case and spacing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import polars as pl

from freehold.config.curate_settings import ExactDuplicates
from freehold.curate.samples import fold
from freehold.curate.steps.base import Chosen, Scope, kept_where

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGEST_BYTES = 16


class ExactDuplicatesStep:
    """Keeps the first of equal rows: those held out go before those to learn from, then the earliest."""

    name = "exact-duplicates"
    scope: Scope = "training"
    needs = ("part",)

    def __init__(self, settings: ExactDuplicates) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_exact`: a digest of what is compared."""
        answers = rows.get_column("answer")
        if self._settings.by == "prompt":
            answers = pl.repeat("", rows.height, eager=True)
        return pl.DataFrame({"_exact": _digests(zip(rows.get_column("prompt"), answers, strict=True))})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """All but the first of each digest go; one that is held out counts as first."""
        order = pl.col("part").replace_strict({"certify": 0, "tune": 1, "fit": 2}, return_dtype=pl.Int8)
        ranked = rows.select("_exact", order.alias("order")).with_row_index("at")
        firsts = ranked.sort("order", "at").unique("_exact", keep="first", maintain_order=True).get_column("at")
        keep = ranked.get_column("at").is_in(firsts.implode())
        return kept_where(keep, "said before")


def _digests(pairs: Iterable[tuple[str, str]]) -> pl.Series:
    found = [
        hashlib.blake2b(f"{fold(prompt)}\n\0{fold(answer)}".encode(), digest_size=_DIGEST_BYTES).digest()
        for prompt, answer in pairs
    ]
    return pl.Series("_exact", found, dtype=pl.Binary)
