"""Quarantine: rows of these keys, subjects, sources or traces stay out of new datasets, and are counted there.

A key, subject or source is put aside with all its rows, those that certify included: the certificate then speaks of the
traffic of all others. A single trace is left out of what is learned from only: which rows certify is drawn, and nobody
may choose among them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from freehold.domain.erasures import Quarantine, QuarantineKind
from freehold.domain.errors import NotFound
from freehold.domain.events import Event, EventKind
from freehold.domain.ids import content_id, new_id

if TYPE_CHECKING:
    from freehold.store import Store

PURPOSE = "freehold quarantine 1"
"""What the installation's key is derived for: an id, which stands in events for good, gives no name away."""
_COLUMN: dict[QuarantineKind, str] = {"key": "key", "subject": "subject", "source": "source", "trace": "row"}


def put_aside(store: Store, kind: QuarantineKind, value: str, reason: str, task: str = "") -> Quarantine:
    """Put a key, subject, source or trace aside, for one task or (empty) for all. Twice is fine.

    Raises:
        StoreError: the control store cannot be written.
    """
    made = Quarantine(
        quarantine_id=content_id("qu", store.keys.derive(PURPOSE), kind.encode(), value.encode(), task.encode()),
        kind=kind,
        value=value,
        reason=reason,
        created_ns=time.time_ns(),
        updated_ns=time.time_ns(),
        task=task,
    )
    with store.control.transaction():
        known = store.control.quarantines.get(made.quarantine_id)
        if known is not None and not known.lifted_ns:
            return known
        store.control.quarantines.put(made)
        _tell(store, "quarantined", made, f"A {kind} is put aside: {made.quarantine_id}.")
    return made


def lift(store: Store, quarantine_id: str) -> Quarantine:
    """Let its rows into new datasets again.

    Raises:
        NotFound: there is no such quarantine in force.
        StoreError: the control store cannot be written.
    """
    with store.control.transaction():
        known = store.control.quarantines.get(quarantine_id)
        if known is None or known.lifted_ns:
            raise NotFound(f"No quarantine {quarantine_id} is in force.", "`freehold quarantine list` shows them.")
        lifted = msgspec.structs.replace(known, lifted_ns=time.time_ns(), updated_ns=time.time_ns())
        store.control.quarantines.put(lifted)
        _tell(store, "quarantine-lifted", lifted, f"A {known.kind} is no longer put aside: {known.quarantine_id}.")
    return lifted


def in_force(store: Store, task: str | None = None) -> list[Quarantine]:
    """What is put aside (for this task), the oldest first.

    Raises:
        StoreError: the control store cannot be read.
    """
    found = [item for item in store.control.quarantines.list() if not item.lifted_ns]
    return found if task is None else [item for item in found if item.task in ("", task)]


def leave_out(rows: pl.DataFrame, aside: Sequence[Quarantine]) -> tuple[pl.DataFrame, Counter[str]]:
    """The candidate rows (`freehold.curate.rows`) that are not put aside, and how many are, by reason."""
    left_out = Counter[str]()
    for kind, column in _COLUMN.items():
        values = [item.value for item in aside if item.kind == kind]
        if not values:
            continue
        hit = pl.col(column).is_in(values).fill_null(False)
        if kind == "trace":
            hit &= pl.col("part") != "certify"
        count = rows.select(hit.sum()).item()
        if count:
            left_out[f"quarantined {kind}"] += count
            rows = rows.filter(~hit)
    return rows, left_out


def _tell(store: Store, kind: EventKind, item: Quarantine, message: str) -> None:
    evidence = {"quarantine": item.quarantine_id, "kind": item.kind}
    store.control.add_event(
        Event(
            event_id=new_id("ev"), at_ns=time.time_ns(), kind=kind, task=item.task, message=message, evidence=evidence
        )
    )
