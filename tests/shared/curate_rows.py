"""Candidate rows for tests of curating, from a few words each."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from freehold.config.curate_settings import CurateStep
from freehold.curate.pipeline import Curated, run_pipeline
from freehold.curate.rows import ROW_COLUMNS
from freehold.runners import LocalBatches

SECRET = bytes(range(32))
"""What pseudonyms are drawn with."""

_USUAL: dict[str, Any] = {
    "task": "task_1",
    "source": "",
    "model": "gpt",
    "answered_by": "inc/gpt",
    "terms": "own",
    "verdict": "allow",
    "status": 200,
    "prompt": "a question",
    "answer": "yes",
    "input_tokens": 10,
    "output_tokens": 1,
    "uniform": True,
    "origin": "incumbent",
    "part": "fit",
    "changed": "",
    "answer_schema": "",
}


def make_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    """One row for each dictionary, named r0, r1, … and as old as their order; the rest is usual."""
    named = [
        {**dict.fromkeys(ROW_COLUMNS), **_USUAL, "row": f"r{number}", "at_ns": number + 1, **row}
        for number, row in enumerate(rows)
    ]
    return pl.DataFrame(named, schema=ROW_COLUMNS)


def steps(*asked: dict[str, Any]) -> tuple[CurateStep, ...]:
    """Settings of steps, as TOML would give them."""
    return msgspec.convert(asked, tuple[CurateStep, ...])


def run(rows: pl.DataFrame, *asked: dict[str, Any], batch_rows: int = 100) -> Curated:
    """The rows after some steps."""
    return run_pipeline(rows, steps(*asked), LocalBatches(batch_rows), lambda: SECRET)


def why(done: Curated) -> dict[str, str]:
    """Row → why it went."""
    return dict(done.left_out.select("row", "reason").iter_rows())
