"""The one declaration of what the trace and feedback tables hold, and rows from records. Needs polars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from freehold.domain.traces import Feedback, Trace
from freehold.store.traces.derived import Derived
from freehold.store.traces.message_parts import Split

SCHEMA_VERSION = 4
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
    "terms": pl.String,
}
"""Column → type of what is derived when a trace is sealed: see `freehold.store.traces.derived.Derived`."""

TRACE_COLUMNS: dict[str, Any] = {**TRACE_FIELDS, **DERIVED_FIELDS, "schema_version": pl.Int64}

PARTS = "request_parts"
"""A column of the stored table only: null where `request` is whole; else `request` is a skeleton, and this says which
messages belong where (see `freehold.store.traces.message_parts`)."""

STORED_COLUMNS: dict[str, Any] = {**TRACE_COLUMNS, PARTS: pl.Binary}

ADDED: dict[str, pl.Expr] = {
    "api": pl.when(pl.col("reason") == "passthrough").then(pl.lit("other")).otherwise(pl.lit("chat")),
    "cached": pl.lit(False),
    "cache_write_tokens": pl.lit(0, pl.Int64),
    "traceparent": pl.lit(None, pl.String),
    "agent": pl.lit(None, pl.String),
    "linked": pl.lit(""),
    "subject": pl.lit(None, pl.String),
    "source": pl.lit(""),
    "terms": pl.when(pl.col("owned")).then(pl.lit("own")).otherwise(pl.lit("unknown")),
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
    """One row per trace, with what was derived from it at the same place in `derived`; sorted as the table is."""
    order = sorted(range(len(traces)), key=lambda place: _place(traces[place]))
    traces, derived = [traces[place] for place in order], [derived[place] for place in order]
    return pl.DataFrame(
        [
            *_columns(Trace, traces, TRACE_FIELDS),
            *_columns(Derived, derived, DERIVED_FIELDS),
            pl.repeat(SCHEMA_VERSION, len(traces), dtype=pl.Int64, eager=True).alias("schema_version"),
        ]
    )


def sealed_frame(traces: Sequence[Trace], derived: Sequence[Derived], taken: Mapping[int, Split]) -> pl.DataFrame:
    """As `trace_frame`; where `taken` names places, the requests there are skeletons, and `PARTS` is there too."""
    if not taken:
        return trace_frame(traces, derived)
    bare = [
        msgspec.structs.replace(trace, request=taken[place].skeleton) if place in taken else trace
        for place, trace in enumerate(traces)
    ]
    parts = {trace.trace_id: taken[place].parts for place, trace in enumerate(traces) if place in taken}
    rows = trace_frame(bare, derived)
    ids = rows.get_column("trace_id").to_list()
    return rows.with_columns(pl.Series(PARTS, [parts.get(trace_id) for trace_id in ids], pl.Binary))


def _place(trace: Trace) -> tuple[bool, str, int]:
    return trace.episode is not None, trace.episode or "", trace.at_ns


def _columns(of: type[msgspec.Struct], items: Sequence[msgspec.Struct], kinds: Mapping[str, Any]) -> list[pl.Series]:
    """The fields that `kinds` names, of each item; taken out all at once, which is the quickest."""
    fields = of.__struct_fields__
    values = dict(zip(fields, zip(*map(msgspec.structs.astuple, items), strict=True), strict=True)) if items else {}
    return [_column(name, values.get(name, ()), kind) for name, kind in kinds.items()]


def _column(name: str, values: Sequence[Any], kind: Any) -> pl.Series:
    if name == "attempts" and not any(values):  # nearly always; a list of empty lists takes as long as all the rest
        return pl.Series(name, [[]], kind).new_from_index(0, len(values))
    return pl.Series(name, values, kind, strict=False)


def feedback_frame(feedback: Sequence[Feedback]) -> pl.DataFrame:
    """One row per judgement."""
    columns: dict[str, Any] = {name: [getattr(item, name) for item in feedback] for name in FEEDBACK_FIELDS}
    columns["schema_version"] = [SCHEMA_VERSION] * len(feedback)
    return pl.DataFrame(columns, schema=FEEDBACK_COLUMNS, strict=False)


def trace_of(row: dict[str, Any]) -> Trace:
    """The Trace that a row of the trace table was made from."""
    return msgspec.convert({name: row[name] for name in TRACE_FIELDS} | {"type": "trace"}, Trace)
