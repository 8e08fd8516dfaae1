"""Audits in, the loss of each rung in force out, as a confidence sequence that may be looked at all the time.

Audits are a uniform draw from a rung's owned answers, so their mean loss is the rung's risk per served request. The
sequence is computed anew from the stored audits, in the order they were made: no state to lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from freehold.domain.answers import disagreement
from freehold.domain.events import Monitor
from freehold.domain.evidence import Certificate
from freehold.stats import ChangeDetector, ConfidenceSequence
from freehold.store.read_traces import read_traces

FALSE_ALARM_AUDITS = 10_000.0
"""Mean number of audits between false alarms of the change detector, at the least."""

if TYPE_CHECKING:
    from freehold.store import Store


def watch(store: Store, certificate: Certificate, now_ns: int) -> Monitor:
    """The monitor of one certificate in force, brought up to date and stored."""
    audits = _audits(store, certificate)
    before = store.control.monitors.get(certificate.certificate_id)
    if before is not None and before.audits == audits.height:
        return before
    losses = [
        disagreement(owned, reference) for owned, reference in audits.select("owned_answer", "answer").iter_rows()
    ]
    sequence = ConfidenceSequence(certificate.delta)
    sequence.update(losses)
    detector = ChangeDetector(certificate.loss_upper, certificate.epsilon, arl=FALSE_ALARM_AUDITS)
    detector.update(losses)
    monitor = Monitor(
        certificate=certificate.certificate_id,
        task=certificate.task,
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        audits=len(losses),
        losses=sum(losses),
        lower=sequence.lower,
        upper=sequence.upper,
        drift_at=detector.alarm_at,
        last_trace_ns=audits.item(-1, "at_ns") if losses else 0,
        updated_ns=now_ns,
    )
    store.control.monitors.put(monitor)
    return monitor


def _audits(store: Store, certificate: Certificate) -> pl.DataFrame:
    """Answered audits of the certificate's owned answers, in the order they were made."""
    traces = read_traces(
        store,
        task=certificate.task,
        kinds=("request", "audit"),
        since_ns=certificate.issued_ns,
        columns=(
            "trace_id",
            "of",
            "kind",
            "at_ns",
            "status",
            "error",
            "certificate",
            "audited",
            "answer",
            "finish_reason",
        ),
    )
    owned = traces.filter(
        pl.col("audited") & (pl.col("kind") == "request") & (pl.col("certificate") == certificate.certificate_id)
    )
    whole = (pl.col("status") == 200) & pl.col("error").is_null() & (pl.col("finish_reason") == "stop")
    answered = traces.filter((pl.col("kind") == "audit") & whole)
    pairs = answered.join(owned.select(of="trace_id", owned_answer="answer"), on="of", how="inner")
    return pairs.with_columns(pl.col("owned_answer", "answer").fill_null("")).sort("at_ns", "trace_id")


def breached(monitor: Monitor) -> str | None:
    """Why the rung must be rolled back, or None.

    Either its loss over all audits is above ε with confidence 1 − δ, at any time; or it has changed: a rise that is
    still small in the mean over all audits, since those from before count as well.
    """
    seen = f"{monitor.losses:.0f} of {monitor.audits} audited answers differ from the incumbent's"
    if monitor.lower > monitor.epsilon:
        return (
            f"{seen}: the loss is above {monitor.lower:.2%}, more than the {monitor.epsilon:.2%} allowed "
            f"(confidence {1 - monitor.delta:.0%})."
        )
    if monitor.drift_at is not None:
        return (
            f"{seen}, and lately more than before: the loss has risen above what was certified "
            f"(alarm at audit {monitor.drift_at}; a false one comes once in {FALSE_ALARM_AUDITS:,.0f} audits or rarer)."
        )
    return None
