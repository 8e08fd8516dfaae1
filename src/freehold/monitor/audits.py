"""Audits in, the risk of each certificate in force out, as a confidence sequence that may be looked at all the time.

The quantity is the certified one: the same loss by the same scorer, per served request or over all traffic. It is
computed anew from the stored audits: no state to lose. See `freehold.monitor.bounds` for how they are counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from freehold.domain.events import Monitor
from freehold.domain.evidence import Certificate
from freehold.monitor.bounds import FALSE_ALARM_AUDITS, Bounds, Told, bounds, drift
from freehold.monitor.pairs import Audited, audited
from freehold.monitor.scores import Losses, losses_of

if TYPE_CHECKING:
    from freehold.scorers import Ask
    from freehold.store import Store

FEW_MISSING = 0.2
"""Share of the drawn audits that may tell nothing before people are told."""
MANY_DRAWN = 50


def watch(store: Store, certificate: Certificate, now_ns: int, ask: Ask | None = None) -> Monitor:
    """The monitor of one certificate in force, brought up to date and stored.

    `ask` asks a judge, where one scores; without it, what only a judge can score has no loss.

    Raises:
        StoreError: stored data cannot be read or written.
    """
    found = audited(store, certificate, now_ns)
    before = store.control.monitors.get(certificate.certificate_id)
    if before is not None and _nothing_new(before, found):
        return before
    monitor = _monitor(certificate, found, losses_of(store, certificate, found.pairs, ask), now_ns)
    store.control.monitors.put(monitor)
    return monitor


def breached(monitor: Monitor) -> str | None:
    """Why the certificate's rungs must be rolled back, or None.

    Either the risk is above ε with confidence 1 − δ, at any time; or it has changed: a rise that is still small in the
    mean over all audits, since those from before count as well; or a judge measures it that is not to be believed.
    """
    seen = summary(monitor)
    if monitor.lower > monitor.epsilon:
        return (
            f"{seen}: the loss{_whose(monitor)} is above {monitor.lower:.2%}, more than the {monitor.epsilon:.2%} "
            f"allowed (confidence {1 - monitor.delta:.0%})."
        )
    if monitor.drift_at is not None:
        at = "audit" if monitor.risk == "served" else "sampled request"
        return (
            f"{seen}, and lately more than before: the loss{_whose(monitor)} has risen above what was certified "
            f"(alarm at {at} {monitor.drift_at}; a false one comes once in {FALSE_ALARM_AUDITS:,.0f} {at}s or rarer)."
        )
    if monitor.disbelieved:
        return f"The judge that measures the loss is not to be believed. {monitor.disbelieved}"
    return None


def unheard(monitor: Monitor) -> str | None:
    """Why audits say too little, for people, or None. What is missing is no loss: no reason to roll back."""
    drawn = monitor.audits + monitor.missing
    if monitor.trouble:
        return f"Audits cannot be scored: {monitor.trouble}"
    if drawn >= MANY_DRAWN and monitor.missing > FEW_MISSING * drawn:
        return (
            f"{monitor.missing} of {drawn} audits told nothing (dropped, failed or cut off): the certificate ages. "
            "See the gateway's audit counts, `audit_queue` and `audit_concurrency`, and the incumbent's errors."
        )
    return None


def summary(monitor: Monitor) -> str:
    """What audits have seen, as the beginning of a sentence."""
    if monitor.loss == "disagreement":
        return f"{monitor.losses:.0f} of {monitor.audits} audited answers differ from the incumbent's"
    return f"{monitor.audits} audited answers lost {monitor.losses:.4g} in all against the incumbent's"


def _whose(monitor: Monitor) -> str:
    return "" if monitor.risk == "served" else " over all traffic"


def _monitor(certificate: Certificate, found: Audited, losses: Losses, now_ns: int) -> Monitor:
    told = _told(found, losses)
    span: Bounds = bounds(certificate, told)
    lost = sum(told.missing.values())
    pending = found.pending + losses.pending
    return Monitor(
        certificate=certificate.certificate_id,
        task=certificate.task,
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        loss=certificate.loss,
        risk=certificate.risk,
        audits=len(told.losses),
        losses=sum(told.losses),
        estimate=span.estimate,
        lower=span.lower,
        upper=span.upper,
        weighted=span.weighted,
        requests=found.requests,
        unscored=losses.unscored,
        missing=lost - pending,
        pending=pending,
        trouble=losses.trouble,
        disbelieved=losses.disbelieved,
        drift_at=drift(certificate, *_in_order(found, losses)),
        last_trace_ns=found.pairs.item(-1, "at_ns") if found.pairs.height else 0,
        updated_ns=now_ns,
    )


def _told(found: Audited, losses: Losses) -> Told:
    rate_of = dict(found.pairs.select("trace_id", "rate").iter_rows())
    rates = [rate_of[audit] for audit in losses.known]
    missing = Counter(found.drawn)
    missing.subtract(rates)
    return Told(list(losses.known.values()), rates, {rate: n for rate, n in missing.items() if n}, found.rates)


def _in_order(found: Audited, losses: Losses) -> tuple[list[float], list[float]]:
    """Losses and rates of fair draws from the certified risk, in the order they were known."""
    known = pl.DataFrame(
        {"trace_id": list(losses.known), "loss": list(losses.known.values())},
        schema={"trace_id": pl.String, "loss": pl.Float64},
    )
    scored = found.pairs.select("trace_id", "at_ns", "rate").join(known, on="trace_id", how="inner")
    kept = found.escalated.select("at_ns", "rate", loss=pl.lit(0.0))
    draws = pl.concat([scored.select("at_ns", "rate", "loss"), kept]).sort("at_ns", maintain_order=True)
    return draws.get_column("loss").to_list(), draws.get_column("rate").to_list()


def _nothing_new(before: Monitor, found: Audited) -> bool:
    """Whether the stored monitor says all there is. Where an audit has no loss yet, there may be one now."""
    drawn = before.audits + before.missing + before.pending
    return (before.requests, before.audits, before.pending, drawn) == (
        found.requests,
        found.pairs.height,
        found.pending,
        sum(found.drawn.values()),
    )
