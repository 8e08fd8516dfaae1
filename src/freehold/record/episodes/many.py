"""Reads many episodes that callers named, in batches: one by one costs a look at the whole store for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from freehold.domain.episodes import Episode, Turn
from freehold.domain.traces import Feedback
from freehold.record.episodes.read import NEEDED, NO_KEY, heard_in, turns_of
from freehold.record.episodes.tree import episode_of
from freehold.store import Store
from freehold.store.traces.read import Derive, read_traces
from freehold.store.traces.read_feedback import read_feedback
from freehold.store.traces.rows import FEEDBACK_FIELDS

BATCH_STEPS = 1_000
"""Steps read at once; their requests are in memory together."""


class Named(NamedTuple):
    """An episode, and the virtual key whose it is (`NO_KEY`: traffic without one)."""

    episode_id: str
    key: str


def read_many(store: Store, wanted: Sequence[Named], *, derive: Derive) -> Iterator[tuple[Episode, dict[str, Turn]]]:
    """As `read_turns` for each of these that is there, in this order; those found from messages only are passed over.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    steps = _steps(store, wanted, derive)
    batch: list[Named] = []
    size = 0
    for one in wanted:
        batch.append(one)
        size += steps[one].height if one in steps else 0
        if size >= BATCH_STEPS:
            yield from _read(store, {one: steps[one] for one in batch if one in steps}, derive)
            batch, size = [], 0
    yield from _read(store, {one: steps[one] for one in batch if one in steps}, derive)


def _steps(store: Store, wanted: Sequence[Named], derive: Derive) -> dict[Named, pl.DataFrame]:
    """For each episode its traces (`trace_id`, `at_ns`)."""
    columns = ("episode", "key", "trace_id", "at_ns")
    rows = read_traces(store, kinds=("request",), columns=columns, derive=derive)
    rows = rows.filter(pl.col("episode").is_in([one.episode_id for one in wanted]))
    rows = rows.with_columns(key=pl.col("key").fill_null(NO_KEY))
    parts = rows.partition_by("episode", "key", as_dict=True)
    return {Named(str(episode), str(key)): part for (episode, key), part in parts.items()}


def _read(store: Store, steps: dict[Named, pl.DataFrame], derive: Derive) -> Iterator[tuple[Episode, dict[str, Turn]]]:
    if not steps:
        return
    every = pl.concat(list(steps.values()))
    ids = every.get_column("trace_id").to_list()
    times = every.get_column("at_ns")
    since, until = int(times.min()), int(times.max()) + 1  # type: ignore[arg-type]
    rows = read_traces(
        store, since_ns=since, until_ns=until, trace_ids=ids, kinds=("request",), columns=NEEDED, derive=derive
    )
    parts = rows.with_columns(_key=pl.col("key").fill_null(NO_KEY)).partition_by("episode", "_key", as_dict=True)
    given = read_feedback(store, trace_ids=ids).partition_by("trace_id", as_dict=True)
    for one, part in steps.items():
        there = parts.get((one.episode_id, one.key))
        if there is None:  # forgotten meanwhile
            continue
        exchanges, traces = heard_in(there)
        judged = [given[trace_id,] for trace_id in part.get_column("trace_id") if (trace_id,) in given]
        feedback = _feedback(pl.concat(judged)) if judged else []
        yield episode_of(one.episode_id, one.key or None, exchanges, feedback), turns_of(traces)


def _feedback(judged: pl.DataFrame) -> list[Feedback]:
    """Judgements of steps, and those of the episode, which `read_feedback` gives for each step, once."""
    found: dict[tuple[str, str], Feedback] = {}
    for row in judged.iter_rows(named=True):
        if row["episode"] is not None:
            row["trace_id"] = ""
        fields = {name: row[name] for name in FEEDBACK_FIELDS} | {"type": "feedback"}
        found.setdefault((row["feedback_id"], row["trace_id"]), msgspec.convert(fields, Feedback))
    return sorted(found.values(), key=lambda item: (item.at_ns, item.feedback_id))
