"""The one declaration of what the trace and feedback tables hold, and rows from records. Needs polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from freehold.domain.traces import Feedback, Trace
from freehold.store.derived import Derived

SCHEMA_VERSION = 3
"""Written in every row as `schema_version`. Rows of earlier versions lack columns of `ADDED` and `FEEDBACK_ADDED`."""

TRACE_FIELDS: dict[str, Any] = {
    "version": pl.Int64,
    "trace_id": pl.String,
    "at_ns": pl.Int64,
    "kind": pl.String,
    "api": pl.String,
    "of": pl.String,
    "task": pl.String,
    "task_name": pl.String,
    "fingerprint": pl.String,
    "model": pl.String,
    "answered_by": pl.String,
    "owned": pl.Boolean,
    "policy": pl.Int64,
    "certificate": pl.String,
    "reason": pl.String,
    "signal": pl.Float64,
    "novelty": pl.Float64,
    "audit_probability": pl.Float64,
    "audited": pl.Boolean,
    "status": pl.Int64,
    "error": pl.String,
    "stream": pl.Boolean,
    "request": pl.Binary,
    "response": pl.Binary,
    "truncated": pl.Boolean,
    "first_byte_us": pl.Int64,
    "duration_us": pl.Int64,
    "attempts": pl.List(pl.String),
    "cached": pl.Boolean,
    "key": pl.String,
    "episode": pl.String,
    "agent": pl.String,
    "parent": pl.String,
    "linked": pl.String,
    "subject": pl.String,
    "source": pl.String,
    "traceparent": pl.String,
}
"""Column → type of what is taken from the Trace as it is."""

DERIVED_FIELDS: dict[str, Any] = {
    "answer": pl.String,
    "finish_reason": pl.String,
    "input_tokens": pl.Int64,
    "cached_input_tokens": pl.Int64,
    "cache_write_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "tokens_source": pl.String,
    "cost_nanousd": pl.Int64,
    "price_source": pl.String,
    "incumbent_cost_nanousd": pl.Int64,
    "incumbent_price_source": pl.String,
    "upstream": pl.String,
    "answer_model": pl.String,
}
"""Column → type of what is derived when a trace is sealed: see `freehold.store.derived.Derived`."""

TRACE_COLUMNS: dict[str, Any] = {**TRACE_FIELDS, **DERIVED_FIELDS, "schema_version": pl.Int64}

ADDED: dict[str, pl.Expr] = {
    "api": pl.when(pl.col("reason") == "passthrough").then(pl.lit("other")).otherwise(pl.lit("chat")),
    "cached": pl.lit(False),
    "cache_write_tokens": pl.lit(0, pl.Int64),
    "traceparent": pl.lit(None, pl.String),
    "agent": pl.lit(None, pl.String),
    "linked": pl.lit(""),
    "subject": pl.lit(None, pl.String),
    "source": pl.lit(""),
}
"""Columns of traces that came later → what they hold in rows written before."""

FEEDBACK_FIELDS: dict[str, Any] = {
    "version": pl.Int64,
    "feedback_id": pl.String,
    "trace_id": pl.String,
    "episode": pl.String,
    "at_ns": pl.Int64,
    "score": pl.Float64,
    "label": pl.String,
    "edit": pl.String,
    "comment": pl.String,
    "key": pl.String,
}

FEEDBACK_ADDED: dict[str, pl.Expr] = {"episode": pl.lit(None, pl.String)}
"""The same of feedback."""

FEEDBACK_COLUMNS: dict[str, Any] = {**FEEDBACK_FIELDS, "schema_version": pl.Int64}


def trace_frame(traces: Sequence[Trace], derived: Sequence[Derived]) -> pl.DataFrame:
    """One row per trace, with what was derived from it at the same place in `derived`."""
    traces = [_placed(trace, item) for trace, item in zip(traces, derived, strict=True)]
    columns: dict[str, Any] = {name: [getattr(trace, name) for trace in traces] for name in TRACE_FIELDS}
    columns |= {name: [getattr(item, name) for item in derived] for name in DERIVED_FIELDS}
    columns["schema_version"] = [SCHEMA_VERSION] * len(traces)
    return pl.DataFrame(columns, schema=TRACE_COLUMNS, strict=False).sort("episode", "at_ns", maintain_order=True)


def _placed(trace: Trace, derived: Derived) -> Trace:
    if derived.placed is None:
        return trace
    return msgspec.structs.replace(trace, episode=derived.placed.episode, linked=derived.placed.linked)


def feedback_frame(feedback: Sequence[Feedback]) -> pl.DataFrame:
    """One row per judgement."""
    columns: dict[str, Any] = {name: [getattr(item, name) for item in feedback] for name in FEEDBACK_FIELDS}
    columns["schema_version"] = [SCHEMA_VERSION] * len(feedback)
    return pl.DataFrame(columns, schema=FEEDBACK_COLUMNS, strict=False)


def trace_of(row: dict[str, Any]) -> Trace:
    """The Trace that a row of the trace table was made from."""
    return msgspec.convert({name: row[name] for name in TRACE_FIELDS} | {"type": "trace"}, Trace)
