"""Reads feedback: sealed judgements together with those that the journals hold. Needs polars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl

from freehold.domain.traces import Feedback, Trace
from freehold.store.journal.tail import unsealed
from freehold.store.store import Store
from freehold.store.traces.delta import Snapshot, collect
from freehold.store.traces.rows import feedback_frame


class _Step(NamedTuple):
    """What judging a trace that is not sealed yet needs of it."""

    worker: str
    position: int
    trace_id: str
    kind: str
    episode: str | None
    key: str | None


class _Tail(NamedTuple):
    """What is not sealed: judgements with where they lie, and traces that may be judged."""

    feedback: list[tuple[str, int, Feedback]]
    steps: list[_Step]

    def fresh(self, table: Snapshot) -> list[Feedback]:
        """Judgements that this snapshot of the feedback table does not hold."""
        sealed = {worker: table.sealed_position(worker) for worker in {worker for worker, _, _ in self.feedback}}
        return [feedback for worker, position, feedback in self.feedback if position > sealed[worker]]


def read_feedback(store: Store, *, trace_ids: Sequence[str] | None = None) -> pl.DataFrame:
    """Feedback (on these traces), sealed or not, oldest first; every judgement once.

    A judgement of an episode is one of each of its requests: a row for each, with `episode` set.

    What came with a virtual key counts only on traces of the same key: a trace's id is no secret, and one tenant must
    not judge another's answers. What came without one is the organisation's own.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    tail = _tail(store)
    of_episodes = pl.col("episode").is_not_null() & (pl.col("trace_id") == "")
    wanted = pl.lit(True) if trace_ids is None else pl.col("trace_id").is_in(list(trace_ids))
    asked = wanted
    if trace_ids is not None:
        asked |= of_episodes & pl.col("episode").is_in(_episodes_of(store, trace_ids, tail))
    table = store.feedback.snapshot()
    given = pl.concat([collect(table.scan().filter(asked)), feedback_frame(tail.fresh(table)).filter(asked)])
    on_traces = given.filter(~of_episodes & wanted)
    on_steps = _on_steps(store, given.filter(of_episodes), tail).filter(wanted)
    found = pl.concat([on_traces.filter(_may_judge(store, on_traces, tail)), on_steps.select(given.columns)])
    return found.sort("at_ns", maintain_order=True)


def read_episode_feedback(store: Store, episode: str) -> pl.DataFrame:
    """Judgements of this episode as a whole, sealed or not, oldest first, whoever gave them.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    tail = _tail(store)
    table = store.feedback.snapshot()
    fresh = [feedback for feedback in tail.fresh(table) if feedback.episode == episode]
    sealed = collect(table.scan().filter(pl.col("episode") == episode))
    return pl.concat([sealed, feedback_frame(fresh)]).sort("at_ns", maintain_order=True)


def _tail(store: Store) -> _Tail:
    tail = _Tail([], [])
    for worker, position, record in unsealed(store):
        if isinstance(record, Trace):
            tail.steps.append(_Step(worker, position, record.trace_id, record.kind, record.episode, record.key))
        else:
            tail.feedback.append((worker, position, record))
    return tail


def _episodes_of(store: Store, trace_ids: Iterable[str], tail: _Tail) -> list[str]:
    ids = set(trace_ids)
    there = pl.col("trace_id").is_in(sorted(ids)) & pl.col("episode").is_not_null()
    sealed = collect(store.traces.scan().filter(there).select(pl.col("episode").unique()))
    fresh = {step.episode for step in tail.steps if step.trace_id in ids and step.episode is not None}
    return sorted(fresh | set(sealed.get_column("episode").to_list()))


def _on_steps(store: Store, feedback: pl.DataFrame, tail: _Tail) -> pl.DataFrame:
    """Judgements of episodes as judgements of their requests, as far as their keys may judge them."""
    episodes = set(feedback.get_column("episode").to_list())
    if not episodes:
        return feedback
    table = store.traces.snapshot()
    sealed = {worker: table.sealed_position(worker) for worker in {step.worker for step in tail.steps}}
    names = ["trace_id", "episode", "key"]
    fresh = [
        (step.trace_id, step.episode, step.key)
        for step in tail.steps
        if step.kind == "request" and step.episode in episodes and step.position > sealed[step.worker]
    ]
    steps = table.scan().filter(pl.col("episode").is_in(sorted(episodes)), pl.col("kind") == "request")
    unsealed_steps = pl.DataFrame(fresh, schema=dict.fromkeys(names, pl.String), orient="row")
    own = pl.concat([collect(steps.select(names)), unsealed_steps]).rename({"key": "owner"})
    joined = feedback.drop("trace_id").join(own, on="episode")
    return joined.filter(pl.col("key").is_null() | (pl.col("key") == pl.col("owner")))


def _may_judge(store: Store, feedback: pl.DataFrame, tail: _Tail) -> pl.Series:
    """For each row whether its key may judge its trace."""
    keys, ids = feedback.get_column("key").to_list(), feedback.get_column("trace_id").to_list()
    judged = {trace_id for trace_id, key in zip(ids, keys, strict=True) if key is not None}
    if not judged:
        return pl.Series([True] * feedback.height, dtype=pl.Boolean)
    sealed = store.traces.scan().filter(pl.col("trace_id").is_in(list(judged)), pl.col("key").is_not_null())
    owners = {(trace_id, key) for trace_id, key in collect(sealed.select("trace_id", "key")).iter_rows()}
    owners |= {(step.trace_id, step.key) for step in tail.steps}
    allowed = [key is None or (trace_id, key) in owners for trace_id, key in zip(ids, keys, strict=True)]
    return pl.Series(allowed, dtype=pl.Boolean)
