"""Which duties a ruling brings, and which of them are met: by whom, by what evidence, or by the facts. Pure.

Three ways to meet a duty:

- A **standing** duty is something not to be done (`not-distributed`, `not-competing`). It is met as long as the
  organisation's facts do not say that it is done.
- Some are met **by construction**: the caller says which kinds it meets itself, such as a release that writes NOTICE.
- All others need an **act**, such as words to be displayed. They are met by a `Fulfilment`, which somebody signed for.

Not legal advice.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from freehold.domain.counsel import Fulfilment
from freehold.domain.rights import Duty, DutyKind, Finding, Organisation, Ruling

State = Literal["standing", "construction", "fulfilled", "unmet"]
_STANDING: dict[DutyKind, str] = {"not-distributed": "distributes_weights", "not-competing": "sells_ai_services"}
"""Kind of duty → the fact of the organisation that would contradict it."""
STANDING: frozenset[DutyKind] = frozenset(_STANDING)


class DutyState(msgspec.Struct, frozen=True, kw_only=True):
    """A duty that a ruling brings, and how it stands."""

    asset_id: str
    duty: Duty
    licence: str
    clause: str
    says: str
    """What the clause says."""
    source: str
    date: str
    """When the text was read."""
    state: State
    why: str
    """The evidence, where it is met; else what is missing."""
    todo: str = ""
    """The command that records that it was done; empty where it is met, or where no command helps."""

    @property
    def met(self) -> bool:
        """Whether nothing is left to be done."""
        return self.state != "unmet"


UnmetDuty = DutyState
"""One whose state is `unmet`."""


def duties_of(
    ruling: Ruling,
    fulfilments: Iterable[Fulfilment],
    organisation: Organisation,
    met: Collection[DutyKind] = (),
    *,
    name: str = "",
) -> tuple[DutyState, ...]:
    """All duties of a ruling, each once for every clause that asks for it, in the order of the findings.

    Args:
        ruling: which is for one day: a fulfilment that had ended by then does not count.
        fulfilments: whose signatures hold, of the asset's task or of all tasks (`freehold.store.counsel`).
        organisation: whose facts may contradict a standing duty.
        met: kinds that the caller meets by construction.
        name: what `todo` tells people to name: a task, a licence, a student; the ruling's asset if empty.
    """
    if ruling.outcome == "deny":
        return ()
    given = [fulfilment for fulfilment in fulfilments if not fulfilment.until or fulfilment.until >= ruling.date]
    states: dict[tuple[str, str, Duty], DutyState] = {}
    for finding in ruling.findings:
        for duty in finding.duties:
            key = finding.licence, finding.clause, duty
            if key not in states:
                state, why = _look(duty, finding, ruling, given, organisation, met)
                todo = _todo(name or ruling.asset_id, duty) if state == "unmet" and duty.kind not in STANDING else ""
                states[key] = DutyState(
                    asset_id=ruling.asset_id,
                    duty=duty,
                    licence=finding.licence,
                    clause=finding.clause,
                    says=finding.says,
                    source=finding.source,
                    date=finding.date,
                    state=state,
                    why=why,
                    todo=todo,
                )
    return tuple(states.values())


def unmet(
    ruling: Ruling,
    fulfilments: Iterable[Fulfilment],
    organisation: Organisation,
    met: Collection[DutyKind] = (),
    *,
    name: str = "",
) -> tuple[UnmetDuty, ...]:
    """Those of `duties_of` that are not met."""
    return tuple(state for state in duties_of(ruling, fulfilments, organisation, met, name=name) if not state.met)


def _look(
    duty: Duty,
    finding: Finding,
    ruling: Ruling,
    fulfilments: Iterable[Fulfilment],
    organisation: Organisation,
    met: Collection[DutyKind],
) -> tuple[State, str]:
    fact = _STANDING.get(duty.kind)
    if fact is not None:
        known: bool | None = getattr(organisation, fact)
        if known:
            return "unmet", f"[organisation] {fact} is true"
        return "standing", f"[organisation] {fact} is {'false' if known is False else 'not set'}"
    if duty.kind in met:
        return "construction", "met by what is made"
    concerned = ("", ruling.asset_id, finding.licence)
    for fulfilment in fulfilments:
        if (fulfilment.duty, fulfilment.text) == (duty.kind, duty.text) and fulfilment.asset in concerned:
            return "fulfilled", _evidence(fulfilment)
    return "unmet", "nobody has recorded that it was done"


def _evidence(fulfilment: Fulfilment) -> str:
    shown = f" (SHA-256 {fulfilment.evidence_sha256[:16]}…)" if fulfilment.evidence_sha256 else ""
    until = f", until {fulfilment.until}" if fulfilment.until else ""
    return f"{fulfilment.evidence}{shown}, by {fulfilment.fulfilled_by}{until}"


def _todo(name: str, duty: Duty) -> str:
    until = " --until DATE" if duty.kind == "recurring" else ""
    return f"freehold rights fulfil {shlex.quote(name)} {duty.kind} --by NAME --evidence TEXT{until}"
