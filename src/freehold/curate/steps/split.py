"""Split: what belongs together goes into one part.

Groups are the connected components of rows that share a prompt (whatever its case and spacing) or an episode. A group's
part is the one that its first row was given when it was collected, by a hash of its prompt: so a group, and every row
in it, certifies with the same probability, whatever was answered. Rows that were not drawn fairly never certify: beside
those that do they go. See `freehold.curate.samples`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from freehold.config.curate_settings import Split
from freehold.curate.samples import FIT_SHARE, TUNE_SHARE, fold, share_of
from freehold.curate.steps.base import Chosen, Scope

_FIT_OF_TRAINING = FIT_SHARE / (FIT_SHARE + TUNE_SHARE)


class SplitStep:
    """Gives every group one part; or the newest rows to certify, and the groups before them to fit and to tune."""

    name = "split"
    scope: Scope = "all"
    needs = ("episode", "key", "uniform")

    def __init__(self, settings: Split) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_prompt` and `_answer`: hashes of them, whatever their case and spacing."""
        return pl.DataFrame(
            {f"_{name}": [share_of(fold(text)) for text in rows.get_column(name)] for name in ("prompt", "answer")},
            schema={"_prompt": pl.Float64, "_answer": pl.Float64},
        )

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """New parts; rows that may be in none of them go."""
        links: list[Sequence[Any]] = [rows.get_column("_prompt").to_list()]
        if self._settings.episodes:
            episodes = rows.select(
                pl.when(pl.col("episode").is_not_null()).then(pl.struct("key", "episode"))
            ).to_series()
            links.append([None if one is None else (one["key"], one["episode"]) for one in episodes.to_list()])
        grouped = rows.with_columns(_group=pl.Series(components(links), dtype=pl.Int64))
        grouped = self._newest(grouped) if self._settings.newest else _first_part(grouped)
        if self._settings.stratify:
            grouped = _stratified(grouped)
        unfair = (pl.col("_part") == "certify") & ~pl.col("uniform")
        reason = pl.when(unfair & pl.col("_why").is_null()).then(pl.lit("beside what certifies")).otherwise("_why")
        reasons = grouped.select(reason.alias("reason")).to_series()
        return Chosen(reasons.is_null(), reasons, {"part": grouped.get_column("_part")})

    def _newest(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What came at or after the cut certifies; what came before and is not of a group that reaches beyond it is to
        learn from."""
        times = rows.get_column("at_ns").to_numpy()
        cut = int(np.quantile(times, 1 - self._settings.newest, method="higher")) if len(times) else 0
        after = pl.col("at_ns") >= cut
        reaches = after.any().over("_group") & ~after
        by_hash = pl.when(pl.col("_prompt").first().over("_group") < _FIT_OF_TRAINING).then(pl.lit("fit"))
        return rows.with_columns(
            _part=pl.when(after).then(pl.lit("certify")).otherwise(by_hash.otherwise(pl.lit("tune"))),
            _why=pl.when(reaches).then(pl.lit("belongs to what is held out")),
        )


def _first_part(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(_part=pl.col("part").first().over("_group"), _why=pl.lit(None, pl.String))


def _stratified(rows: pl.DataFrame) -> pl.DataFrame:
    """Groups to learn from, dealt between fit and tune so that every answer has the same shares there: in order of
    their hashes, the first rows of each answer are to fit on."""
    training = pl.col("_part") != "certify"
    groups = (
        rows.filter(training)
        .group_by("_group", maintain_order=True)
        .agg(pl.col("_answer").first(), pl.col("_prompt").first(), pl.len())
        .sort("_answer", "_prompt", "_group")
    )
    before = pl.col("len").cum_sum().over("_answer") - pl.col("len")
    wanted = _FIT_OF_TRAINING * pl.col("len").sum().over("_answer")
    dealt = groups.select(
        "_group", pl.when(before < wanted).then(pl.lit("fit")).otherwise(pl.lit("tune")).alias("_new")
    )
    joined = rows.join(dealt, on="_group", how="left", maintain_order="left")
    return joined.with_columns(_part=pl.when(training).then("_new").otherwise("_part")).drop("_new")


def components(links: Iterable[Sequence[Any]]) -> list[int]:
    """For each row the number of the first row that it is connected with.

    Args:
        links: for each kind of link, what each row has; rows that have the same are connected, None connects nothing.
    """
    parents: list[int] = []

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for values in links:
        parents = parents or list(range(len(values)))
        first: dict[Any, int] = {}
        for row, value in enumerate(values):
            if value is not None:
                one, other = sorted((root(first.setdefault(value, row)), root(row)))
                parents[other] = one
    return [root(row) for row in range(len(parents))]
