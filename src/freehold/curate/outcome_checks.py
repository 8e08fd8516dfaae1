"""Which rows of recorded outcomes can be used, and which defects no reader may pass over."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from freehold.domain.errors import RequestError

FEW = 0.01
"""Share of a model's rows that may be left out for lacking something."""


def usable(figures: pl.DataFrame, path: Path, table: pl.DataFrame, left_out: dict[str, int]) -> pl.DataFrame:
    """The figures without the rows that lack something, and without repetitions; what is left out is counted.

    Args:
        figures: `(row, key, text, model, score, dollars, uncounted)` of the models in question.
        path: of the file, for messages.
        table: of prices, a null `request` where none is known.
        left_out: reason → rows; added to.

    Raises:
        RequestError: scores or costs are out of range, more than a few rows lack something, or an id means two prompts.
    """
    _check_scale(figures, path)
    _check_costs(figures, path, table)
    kept = _leave_out(figures, path, "score", "have no score that is a number", left_out)
    kept = _leave_out(kept, path, "text", "have no prompt that is text", left_out)
    kept = _leave_out(kept, path, "dollars", "have no cost", left_out)
    _check_ids(kept, path)
    first = kept.unique(["key", "model"], keep="first", maintain_order=True)
    left_out["the same model again on the same prompt"] = kept.height - first.height
    return first


def _check_ids(figures: pl.DataFrame, path: Path) -> None:
    another = pl.col("row").filter(pl.col("text") != pl.col("text").first()).first().alias("another")
    mixed = figures.group_by("key", maintain_order=True).agg(pl.col("row").first(), another)
    mixed = mixed.filter(pl.col("another").is_not_null())
    if mixed.height:
        raise RequestError(
            f"`prompt_id` in {path} stands for more than one prompt {mixed.height:,} times, as in rows "
            f"{mixed['row'][0]} and {mixed['another'][0]}.",
            "Give each prompt an id of its own, or leave the column out: equal prompts then belong together.",
        )


def _check_scale(figures: pl.DataFrame, path: Path) -> None:
    wrong = figures.filter((pl.col("score") < 0.0) | (pl.col("score") > 1.0))
    if wrong.height:
        least, most = figures["score"].min(), figures["score"].max()
        shown = ", ".join(f"row {row}: {score:g}" for row, score in wrong.select("row", "score").head(3).iter_rows())
        raise RequestError(
            f"{wrong.height:,} scores in {path} are outside [0, 1]: they run from {least:g} to {most:g} ({shown}).",
            "Scores must be on a scale from 0, worst, to 1, best: if yours is another, (score − lowest) / (highest − "
            "lowest) maps it.",
        )


def _check_costs(figures: pl.DataFrame, path: Path, table: pl.DataFrame) -> None:
    negative = figures.filter((pl.col("dollars") < 0.0) | pl.col("dollars").is_infinite())
    if negative.height:
        raise RequestError(
            f"{negative.height:,} costs in {path} are negative or infinite, the first in row {negative['row'][0]}.",
            "Costs are dollars per request, at least 0.",
        )
    for model in table["model"]:
        rows = figures.filter(pl.col("model") == model)
        if rows.height and rows["dollars"].is_null().all():
            priced = table.filter(pl.col("model") == model)["request"].is_not_null().all()
            why = "its tokens were not counted" if priced else "no list price is known"
            raise RequestError(
                f"What {model} costs is not known: {path} has no `cost_usd` for it, and {why}.",
                f"Give `--price {model}=DOLLARS` per request"
                + ("." if rows["uncounted"].all() else f", or `--price {model}=IN,OUT` per million tokens."),
            )


def _leave_out(rows: pl.DataFrame, path: Path, column: str, lack: str, left_out: dict[str, int]) -> pl.DataFrame:
    """Without the rows whose `column` is null, if they are few of each model's."""
    bad = rows.filter(pl.col(column).is_null())
    worst_first = bad.group_by("model").len().sort("len", "model", descending=[True, False])
    for model, number in worst_first.iter_rows():
        of_model = rows.filter(pl.col("model") == model)
        if number > FEW * of_model.height:
            first = ", ".join(str(row) for row in bad.filter(pl.col("model") == model)["row"].head(3))
            raise RequestError(
                f"{number:,} of the {of_model.height:,} rows of {model} in {path} {lack}: rows {first}"
                f"{', …' if number > 3 else ''}.",
                f"Up to {FEW:.0%} would be left out and counted; more may be a gap in the evidence. Fill them in, or "
                "remove them yourself where the gap has nothing to do with how good the answers were.",
            )
    left_out[f"rows that {lack}"] = bad.height
    return rows.filter(pl.col(column).is_not_null())
