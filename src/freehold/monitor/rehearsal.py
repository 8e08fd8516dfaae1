"""What a student in its shadow stage would have answered, beside what the incumbent did answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from freehold.domain.answers import answer_signal
from freehold.domain.evidence import Certificate
from freehold.domain.policy import Rung
from freehold.monitor.scores import losses_of
from freehold.stats import betting_test
from freehold.store.traces.delta import collect

if TYPE_CHECKING:
    from freehold.store import Store

MAX_FAILED = 0.1
"""Share of the questions that may stay without an answer."""
PATIENCE = 10
"""So many times as many questions are asked before a student that gives no answers is withdrawn: its server may only
have to start, and nobody waits for it."""


class Rehearsal(NamedTuple):
    """What became of the requests that a student was asked about unseen."""

    asked: int
    failed: int
    """No answer came, or none in time."""
    accepted: int
    """Answers that callers would have been given, and whose loss is known."""
    loss: float
    """Their mean loss; 0 where there is none."""
    p_value: float
    """Of "the loss is ε or less" (by betting, one-sided): small where it is above."""


def rehearsal(store: Store, certificate: Certificate, rung: Rung, wanted: int) -> Rehearsal | None:
    """What the newest `wanted` questions of the rung's shadow stage came to; None while there is nothing to say.

    That is while there are fewer, or while too many of them found no answer, for `PATIENCE` times as many.

    Raises:
        StoreError: the traces cannot be read.
    """
    recent = store.traces.snapshot().scan()
    recent = recent.filter((pl.col("task") == certificate.task) & (pl.col("at_ns") >= certificate.issued_ns))
    columns = ("trace_id", "of", "at_ns", "status", "error", "answer", "finish_reason", "response")
    name = f"student/{rung.student}"
    asked = (
        collect(recent.filter((pl.col("kind") == "shadow") & (pl.col("answered_by") == name)).select(columns))
        .unique("of", keep="first", maintain_order=True)
        .sort("at_ns", "trace_id")
    )
    in_all, asked = asked.height, asked.tail(wanted)
    whole = (pl.col("status") == 200) & pl.col("error").is_null()
    answered = asked.filter(whole)
    if in_all < wanted or (_silent(asked.height, answered.height) and in_all < PATIENCE * wanted):
        return None
    signals = [answer_signal(body or b"") for body in answered.get_column("response").to_list()]
    taken = answered.filter(pl.Series(signals, dtype=pl.Float64) >= rung.threshold) if signals else answered
    theirs = collect(
        recent.filter((pl.col("kind") == "request") & pl.col("trace_id").is_in(taken.get_column("of").implode()))
        .filter((pl.col("status") == 200) & pl.col("error").is_null())
        .select(of="trace_id", incumbent="answer")
    )
    pairs = taken.join(theirs, on="of", how="inner").select(
        "trace_id", "of", "at_ns", owned_answer="answer", answer="incumbent"
    )
    losses = np.array(list(losses_of(store, certificate, pairs).known.values()), np.float64)
    return Rehearsal(
        asked=asked.height,
        failed=asked.height - answered.height,
        accepted=len(losses),
        loss=float(losses.mean()) if len(losses) else 0.0,
        p_value=_above(losses, certificate.epsilon, certificate.delta),
    )


def objection(seen: Rehearsal, certificate: Certificate) -> str:
    """Why the student must not answer anybody; empty if it may."""
    if _silent(seen.asked, seen.asked - seen.failed):
        return f"In its shadow stage it gave no answer to {seen.failed} of {seen.asked} requests."
    if seen.p_value <= certificate.delta:
        return (
            f"In its shadow stage its loss was {seen.loss:.1%} on {seen.accepted} answers, "
            f"more than the {certificate.epsilon:.1%} allowed (confidence {1 - certificate.delta:.0%})."
        )
    return ""


def _silent(asked: int, answered: int) -> bool:
    return asked - answered > max(1.0, MAX_FAILED * asked)


def _above(losses: np.ndarray[tuple[int], np.dtype[np.float64]], epsilon: float, delta: float) -> float:
    """p-value of "the mean loss is ε or less": that of "the mean of 1 − loss is 1 − ε or more"."""
    return betting_test(delta, 0.0, 1.0)(1.0 - losses, 1.0 - epsilon) if len(losses) else 1.0
