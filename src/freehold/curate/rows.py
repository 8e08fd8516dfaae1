"""Traces in, candidate rows out: one polars frame with all that the steps of curating look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from freehold.domain.evidence import Sample
from freehold.store.traces.read import read_feedback

if TYPE_CHECKING:
    from freehold.store import Store

ROW_COLUMNS: dict[str, Any] = {
    "row": pl.String,
    "at_ns": pl.Int64,
    "task": pl.String,
    "episode": pl.String,
    "agent": pl.String,
    "key": pl.String,
    "subject": pl.String,
    "source": pl.String,
    "model": pl.String,
    "answered_by": pl.String,
    "terms": pl.String,
    "verdict": pl.String,
    "status": pl.Int64,
    "prompt": pl.String,
    "answer": pl.String,
    "score": pl.Float64,
    "label": pl.String,
    "edit": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "uniform": pl.Boolean,
    "origin": pl.String,
    "part": pl.String,
    "changed": pl.String,
    "answer_schema": pl.String,
}
"""Column → type. `row`: the trace's id, unique. `prompt`: the text that a student sees. `score`: mean of the feedback's
scores; `label`, `edit`: the last that feedback gave (null: none). `part`: fit, tune or certify. The others are as in
`freehold.domain.evidence.Sample` and `freehold.domain.traces.Trace`."""

_OF_TRACES = ("task", "episode", "agent", "key", "subject", "model", "status")


def candidate_rows(samples: Sequence[Sample], traces: pl.DataFrame, feedback: pl.DataFrame) -> pl.DataFrame:
    """One row per sample, sorted by (at_ns, row).

    Args:
        samples: what may be used, with its part: see `freehold.curate.samples.collect_samples`.
        traces: these samples' traces (others may be among them).
        feedback: on these traces and their episodes: see `freehold.store.traces.read.read_feedback`.
    """
    fields = [name for name in Sample.__struct_fields__ if name != "trace_id"]
    columns: dict[str, Any] = {name: [getattr(sample, name) for sample in samples] for name in fields}
    columns["row"] = [sample.trace_id for sample in samples]
    made = pl.DataFrame(columns, schema={name: ROW_COLUMNS[name] for name in columns})
    about = traces.select(pl.col("trace_id").alias("row"), *_OF_TRACES).unique("row", maintain_order=True)
    rows = made.join(about, on="row", how="left", maintain_order="left")
    return (
        _judged(rows, feedback)
        .select(pl.col(name).cast(ROW_COLUMNS[name]) for name in ROW_COLUMNS)
        .sort("at_ns", "row")
    )


def _judged(rows: pl.DataFrame, feedback: pl.DataFrame) -> pl.DataFrame:
    """The rows with what feedback says: of the exchange itself, else of its episode."""
    ordered = feedback.sort("at_ns", "feedback_id")
    said = (
        pl.col("score").mean(),
        pl.col("label").drop_nulls().last(),
        pl.col("edit").drop_nulls().last(),
    )
    own = ordered.filter(pl.col("trace_id") != "").group_by("trace_id", maintain_order=True).agg(*said)
    of_episode = ordered.filter((pl.col("trace_id") == "") & pl.col("episode").is_not_null())
    # A virtual key judges its own episodes only: ids of episodes are chosen by callers, and two may choose one.
    by_key = of_episode.filter(pl.col("key").is_not_null()).group_by("episode", "key", maintain_order=True)
    by_owner = of_episode.filter(pl.col("key").is_null()).group_by("episode", maintain_order=True)
    score = pl.col("score")
    joined = (
        rows.join(own, left_on="row", right_on="trace_id", how="left", maintain_order="left")
        .join(by_key.agg(score.mean().alias("_by_key")), on=["episode", "key"], how="left", maintain_order="left")
        .join(by_owner.agg(score.mean().alias("_by_owner")), on="episode", how="left", maintain_order="left")
    )
    return joined.with_columns(score=pl.coalesce("score", "_by_key", "_by_owner"))


def read_judgements(store: Store, traces: pl.DataFrame) -> pl.DataFrame:
    """Feedback on these traces and on their episodes.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    found = read_feedback(store)
    ids = traces.get_column("trace_id").implode()
    episodes = traces.get_column("episode").drop_nulls().unique().implode()
    of_episode = (pl.col("trace_id") == "") & pl.col("episode").is_in(episodes)
    return found.filter(pl.col("trace_id").is_in(ids) | of_episode)


def samples_of(rows: pl.DataFrame) -> list[Sample]:
    """The samples that curated rows are, in order."""
    named = rows.rename({"row": "trace_id"}).select(Sample.__struct_fields__)
    return msgspec.convert(named.rows(named=True), list[Sample])
