"""A task's ladder in force, rung by rung: what was certified of each, and what it has answered since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from freehold.domain.evidence import Certificate
from freehold.loop.ladder_move import certified_ladder
from freehold.monitor.serving import INCUMBENT, answered_by

if TYPE_CHECKING:
    from freehold.domain.policy import TaskPolicy
    from freehold.store import Store


class RungView(msgspec.Struct, frozen=True, kw_only=True):
    """One rung; figures of the evidence are None where the job that certified it is gone."""

    rung: str
    """As in the certificate: `UPSTREAM/MODEL`, or a student's id."""
    incumbent: bool
    answered: int
    """Requests since the certificate was issued, as far as they are sealed."""
    share: float
    """Of all of them."""
    certified_share: float | None
    """Of the certify rows."""
    loss: float | None
    """Mean over those; None for the incumbent."""
    dollars: float | None
    """Mean cost of its answer to any request."""


class LadderView(msgspec.Struct, frozen=True, kw_only=True):
    """A ladder in force."""

    signal: str
    certificate: Certificate
    rungs: tuple[RungView, ...]
    """In the order they are tried, the incumbent last."""
    saving: float | None
    """Share of always asking the incumbent, on the certify rows."""


def ladder_view(store: Store, entry: TaskPolicy | None) -> LadderView | None:
    """The ladder in force for a task; None if there is none.

    Raises:
        StoreError: stored data cannot be read.
    """
    ladder = entry.ladder if entry is not None else None
    certificate = store.control.certificates.get(ladder.certificate) if ladder is not None else None
    if ladder is None or certificate is None:
        return None
    counts = answered_by(store, certificate)
    total = max(1, sum(counts.values()))
    attempt = certified_ladder(store, certificate.certificate_id)
    rungs: list[RungView] = []
    for position, name in enumerate((*(rung.name for rung in certificate.rungs), INCUMBENT)):
        figures = attempt.rungs[position] if attempt is not None else None
        rungs.append(
            RungView(
                rung=name or (figures.name if figures is not None else "the incumbent"),
                incumbent=name == INCUMBENT,
                answered=counts[name],
                share=counts[name] / total,
                certified_share=figures.share if figures is not None else None,
                loss=figures.loss if figures is not None else None,
                dollars=figures.dollars if figures is not None else None,
            )
        )
    saving = attempt.saving if attempt is not None else None
    return LadderView(signal=ladder.signal, certificate=certificate, rungs=tuple(rungs), saving=saving)
