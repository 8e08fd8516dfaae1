"""Filter: rows by what was said of them, who answered, when, and by what right."""

from __future__ import annotations

import datetime
from fnmatch import fnmatchcase

import polars as pl

from freehold.config.curate_settings import Filter
from freehold.curate.steps.base import Chosen, Scope, nothing_measured
from freehold.domain.errors import ConfigError


class FilterStep:
    """Keeps rows for which every condition holds; the first that does not is the reason."""

    name = "filter"
    scope: Scope = "training"
    needs = ("score", "label", "edit", "model", "answered_by", "key", "source", "origin", "verdict")

    def __init__(self, settings: Filter) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Nothing: all that is asked is in the rows."""
        return nothing_measured(rows)

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows that break a condition go.

        Raises:
            ConfigError: `since` or `until` is no date.
        """
        reason = pl.lit(None, pl.String)
        for why, holds in reversed(self._conditions()):
            reason = pl.when(holds).then(reason).otherwise(pl.lit(why))
        reasons = rows.with_columns(reason.alias("_reason")).get_column("_reason")
        return Chosen(reasons.is_null(), reasons)

    def _conditions(self) -> list[tuple[str, pl.Expr]]:
        """Why rows go → what holds for those that stay."""
        asked, found = self._settings, list[tuple[str, pl.Expr]]()
        if asked.since:
            found.append(("too old", pl.col("at_ns") >= _nanoseconds(asked.since)))
        if asked.until:
            found.append(("too new", pl.col("at_ns") < _nanoseconds(asked.until)))
        if asked.judged:
            judged = (pl.col(name).is_not_null() for name in ("score", "label", "edit"))
            found.append(("not judged", pl.any_horizontal(judged)))
        if asked.min_score is not None:
            found.append(("low score", pl.col("score").fill_null(1.0) >= asked.min_score))
        if asked.models:
            found.append(("another model", _matches("model", asked.models)))
        if asked.upstreams:
            upstream = pl.col("answered_by").str.split("/").list.first()
            found.append(("another upstream", upstream.is_in(asked.upstreams)))
        if asked.keys:
            found.append(("another key", pl.col("key").is_in(asked.keys).fill_null(False)))
        if asked.sources:
            source = pl.when(pl.col("source") == "").then(pl.lit("gateway")).otherwise("source")
            found.append(("another source", source.is_in(asked.sources)))
        if asked.origins:
            found.append(("another origin", pl.col("origin").is_in(asked.origins)))
        if asked.verdicts:
            found.append(("rights bring duties", pl.col("verdict").is_in(asked.verdicts)))
        return found


def _matches(column: str, globs: tuple[str, ...]) -> pl.Expr:
    return pl.col(column).map_elements(
        lambda name: any(fnmatchcase(name, glob) for glob in globs), return_dtype=pl.Boolean
    )


def _nanoseconds(text: str) -> int:
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"The filter's time {text!r} is no ISO date: {error}.", "Write it as 2026-11-21.") from error
    return round((at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()) * 10**9
