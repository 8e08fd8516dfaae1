"""Audits in, the loss of each rung in force out, as a confidence sequence that may be looked at all the time.

Audits are a uniform draw from a rung's owned answers, so their mean loss is the rung's risk per served request. The
sequence is computed anew from the stored audits, in the order they were made: no state to lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from freehold.domain.answers import disagreement
from freehold.domain.events import Monitor
from freehold.domain.evidence import Certificate
from freehold.stats import ConfidenceSequence

if TYPE_CHECKING:
    from freehold.store import Store


def watch(store: Store, certificate: Certificate, now_ns: int) -> Monitor:
    """The monitor of one certificate in force, brought up to date and stored."""
    audits = store.audits_of(certificate.certificate_id)
    losses = [
        disagreement(owned, reference) for owned, reference in audits.select("owned_answer", "answer").iter_rows()
    ]
    sequence = ConfidenceSequence(delta=certificate.delta)
    sequence.update(losses)
    before = store.control.monitors.get(certificate.certificate_id)
    monitor = Monitor(
        certificate=certificate.certificate_id,
        task=certificate.task,
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        audits=len(losses),
        losses=sum(losses),
        lower=sequence.lower,
        upper=sequence.upper,
        last_trace_ns=int(audits.get_column("at_ns").max() or 0) if len(losses) else 0,
        updated_ns=now_ns,
    )
    if before is not None and before.audits == monitor.audits:
        return before
    return store.control.monitors.put(monitor)


def breached(monitor: Monitor) -> str | None:
    """Why the rung must be rolled back, or None: its loss is above ε with confidence 1 − δ, at any time."""
    if monitor.lower <= monitor.epsilon:
        return None
    return (
        f"{monitor.losses:.0f} of {monitor.audits} audited answers differ from the incumbent's: the loss is above "
        f"{monitor.lower:.2%}, more than the {monitor.epsilon:.2%} allowed (confidence {1 - monitor.delta:.0%})."
    )


def self_disagreement(pairs: list[tuple[str, str]]) -> float | None:
    """How often the incumbent answered the same request in two ways; None without pairs."""
    if not pairs:
        return None
    return sum(disagreement(first, second) for first, second in pairs) / len(pairs)


def as_dict(monitor: Monitor) -> dict[str, object]:
    """The monitor's figures, as evidence of an event."""
    return msgspec.to_builtins(monitor)
