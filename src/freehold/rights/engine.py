"""May this be done with that? The one place where licences, lineage and facts become a ruling. Pure.

An asset is ruled by its own licence; by that of every base whose weights are in it; and by the terms of every teacher
whose answers it was trained on: these must have allowed the training, some go on to bind the student, and some make it
come under the teacher's licence altogether. A dataset is ruled by the terms of each of its rows. The strictest finding
wins. Where a fact is not known, a clause that restricts counts as met and one that permits as not met; where a text
says nothing of an action, that is no permission. Not legal advice.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from freehold.domain.counsel import Decision
from freehold.domain.errors import RightsError
from freehold.domain.rights import (
    STRICTNESS,
    TRAINING,
    Action,
    Asset,
    Duty,
    Finding,
    Organisation,
    Outcome,
    Parent,
    Ruling,
)
from freehold.rights.clauses import Clause, Licence, On, licences
from freehold.rights.conditions import Answer, Case, meets

OWN = "own"
"""The licence of what the organisation made itself."""
DEEPEST = 64
"""So many models may follow on one another in a lineage."""
_CHANGING: Action = "fine_tune"
"""What was done with a base's weights."""


def rule(
    action: Action,
    asset: Asset,
    organisation: Organisation,
    today: datetime.date,
    *,
    table: Mapping[str, Licence] | None = None,
    decisions: Iterable[Decision] = (),
) -> Ruling:
    """The ruling on `action` with `asset`.

    Args:
        action: what is to be done.
        asset: with its lineage.
        organisation: by whom.
        today: the day the ruling is for: decisions by counsel expire.
        table: licences and terms by id; the package's if None.
        decisions: counsel's, whose signatures hold and that are about this task and asset (`freehold.store.counsel`).
            One settles `needs-counsel`, and only that, for its terms and purpose until it expires; of several, the
            strictest.

    Where a clause bears on the asset by several ways through its lineage, the first of them is told.

    Raises:
        RightsError: the lineage goes further back than `DEEPEST`, or in a circle.
    """
    _check_depth(asset)
    known = licences() if table is None else table
    rules = _Rules(known, organisation, today, tuple(decisions))
    found = sorted(rules.of(action, asset), key=_order)
    outcome: Outcome = found[0].outcome if found else "allow"
    duties = () if outcome == "deny" else tuple(dict.fromkeys(duty for finding in found for duty in finding.duties))
    return Ruling(
        action=action,
        asset_id=asset.asset_id,
        outcome=outcome,
        findings=tuple(found),
        duties=duties,
        date=today.isoformat(),
    )


def _check_depth(asset: Asset) -> None:
    level, depth = {id(asset): asset} if asset.parents else {}, 0
    while level:  # of assets that were made of others
        if depth == DEEPEST:
            raise RightsError(
                f"The lineage of {asset.asset_id} goes back more than {DEEPEST} models, or in a circle.",
                "Nothing is permitted by such a lineage: see where the asset came from.",
            )
        above = (parent.asset for one in level.values() for parent in one.parents if parent.asset.parents)
        level = {id(one): one for one in above}
        depth += 1


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return -STRICTNESS[finding.outcome], finding.licence, finding.clause, finding.why


class _Rules:
    """Goes through an asset's lineage, once over everything in it however many ways lead there."""

    def __init__(
        self,
        table: Mapping[str, Licence],
        organisation: Organisation,
        today: datetime.date,
        decisions: Sequence[Decision],
    ) -> None:
        self._table = table
        self._organisation = organisation
        self._today = today.isoformat()
        self._decisions = decisions
        # Assets are known by identity, as comparing them would compare their whole lineages.
        self._of: dict[tuple[Action, int, int], tuple[Finding, ...]] = {}
        self._bound: dict[int, tuple[str, ...]] = {}
        self._weights: dict[int, tuple[str, ...]] = {}
        self._said: dict[tuple[str, Action, On, int, tuple[str, ...]], tuple[Finding, ...]] = {}

    def of(self, action: Action, asset: Asset, student: Asset | None = None) -> tuple[Finding, ...]:
        """All findings on `action` with `asset`, its own licence first; `student`: which is trained on its answers."""
        key = (action, id(asset), id(student) if student else 0)
        if key not in self._of:
            self._of[key] = _once(self._walk(action, asset, student))
        return self._of[key]

    def _walk(self, action: Action, asset: Asset, student: Asset | None) -> Iterator[Finding]:
        on: On = "outputs" if action in TRAINING else "model"
        yield from self._licence(asset.licence, action, on, student or asset, self._of_weights(student))
        for parent in _unlike(asset.parents):
            if parent.role == "base":
                yield from self._base(action, asset, parent.asset, student)
            elif parent.role == "teacher":
                yield from self._teacher(action, asset, parent.asset)
            else:
                yield from self.of(action, parent.asset, student)

    def _base(self, action: Action, asset: Asset, base: Asset, student: Asset | None) -> Iterator[Finding]:
        """Its weights are in the asset: it had to be allowed to change them, and all that binds it binds the asset."""
        how = f"its weights are in {asset.asset_id}"
        for wanted in dict.fromkeys((_CHANGING, action)):
            yield from _because(how, self.of(wanted, base, student if wanted == action else None))

    def _teacher(self, action: Action, asset: Asset, teacher: Asset) -> Iterator[Finding]:
        """The asset was trained on its answers: that had to be allowed, and may bind the asset ever after."""
        how = f"{asset.asset_id} was trained on its answers"
        training: Action = "train_classifier" if asset.kind == "classifier" else "distil"
        yield from _because(how, self.of(training, teacher, asset))
        for licence in self._binding(teacher):
            yield from _because(how, self._licence(licence, action, "students", asset))
            if self._inherited(licence):
                on: On = "outputs" if action in TRAINING else "model"
                yield from _because(f"{how} and comes under its licence", self._licence(licence, action, on, asset))

    def _binding(self, asset: Asset) -> tuple[str, ...]:
        """Licences that the asset comes under: its own, its bases', and those that its teachers hand on."""
        if id(asset) not in self._bound:
            found = [asset.licence]
            for parent in asset.parents:
                above = self._binding(parent.asset)
                found += above if parent.role == "base" else [licence for licence in above if self._inherited(licence)]
            self._bound[id(asset)] = tuple(dict.fromkeys(found))
        return self._bound[id(asset)]

    def _of_weights(self, asset: Asset | None) -> tuple[str, ...]:
        """The asset's own licence, and those of all bases whose weights are in it; of None: none."""
        if asset is None:
            return ()
        if id(asset) not in self._weights:
            found = [asset.licence]
            for parent in asset.parents:
                if parent.role == "base":
                    found += self._of_weights(parent.asset)
            self._weights[id(asset)] = tuple(dict.fromkeys(found))
        return self._weights[id(asset)]

    def _inherited(self, licence: str) -> bool:
        entry = self._table.get(licence)
        return entry is not None and entry.students_inherit is True

    def _licence(
        self, licence: str, action: Action, on: On, asset: Asset, made_under: tuple[str, ...] = ()
    ) -> tuple[Finding, ...]:
        """What one licence says of `action` with its model, its model's answers, or students of these.

        `made_under`: licences that the student comes under, where one is trained; empty: `asset` is no such student.
        """
        key = (licence, action, on, id(asset), made_under)
        if key not in self._said:
            self._said[key] = tuple(self._says(licence, action, on, asset, made_under))
        return self._said[key]

    def _says(
        self, licence: str, action: Action, on: On, asset: Asset, made_under: tuple[str, ...]
    ) -> Iterator[Finding]:
        if licence == OWN:
            return
        entry = self._table.get(licence)
        if entry is None:
            says = f"Nothing is known of {licence!r}, so nothing is permitted by it."
            yield Finding(licence=licence, clause="unknown", outcome="deny", says=says)
            return
        case = Case(asset, self._organisation, frozenset(made_under))
        silent = on != "students"
        for clause in entry.by_subject.get((on, action), ()):
            met = meets(clause.when, case)
            if _counts(clause, met):
                silent = False
                yield self._finding(entry, clause, action, met)
        if silent:
            yield _silent(entry, action)

    def _finding(self, entry: Licence, clause: Clause, action: Action, met: Answer) -> Finding:
        outcome: Outcome = "deny" if clause.outcome == "unknown" else clause.outcome
        why = met.why
        if outcome == "needs-counsel":
            decision = self._decision(entry.id, action)
            if decision is not None:
                outcome = "allow" if decision.allow else "deny"
                said = "allowed" if decision.allow else "denied"
                why = "; ".join(filter(None, (why, f"{said} by {decision.decided_by}, until {decision.until}")))
        text = entry.texts[0] if entry.texts else None
        return Finding(
            licence=entry.id,
            clause=clause.id,
            outcome=outcome,
            says=clause.says,
            why=why,
            duties=clause.duties if outcome in ("duties", "allow") else (),
            source=" ".join(filter(None, (text.source if text else "", clause.where))),
            sha256=text.sha256 if text else "",
            date=entry.read,
        )

    def _decision(self, licence: str, action: Action) -> Decision | None:
        """The one that counts: where counsel said both yes and no, it is no."""
        found = (
            decision
            for decision in self._decisions
            if decision.terms == licence and decision.purpose == action and decision.until >= self._today
        )
        return min(found, key=lambda decision: decision.allow, default=None)


def _counts(clause: Clause, met: Answer) -> bool:
    """Whether a clause applies; where that is not known, what restricts does, and what permits does not."""
    return met.holds if met.holds is not None else clause.in_doubt and clause.outcome != "allow"


def _silent(entry: Licence, action: Action) -> Finding:
    said = "nobody has read the text" if entry.verified == "nothing" else "nothing that permits it was read"
    return Finding(
        licence=entry.id,
        clause="silent",
        outcome="deny",
        says=f"{entry.name}: {said} ({action.replace('_', ' ')}); unknown is no permission.",
        source=entry.texts[0].source if entry.texts else "",
        sha256=entry.texts[0].sha256 if entry.texts else "",
        date=entry.read,
    )


def _because(how: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The same findings, and how their licence came to bear."""
    for finding in findings:
        yield msgspec.structs.replace(finding, why="; ".join(filter(None, (how, finding.why))))


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Of findings that differ only in why they bear on the asset, the first."""
    found: dict[tuple[str, str, Outcome, str, tuple[Duty, ...]], Finding] = {}
    for finding in findings:
        found.setdefault((finding.licence, finding.clause, finding.outcome, finding.says, finding.duties), finding)
    return tuple(found.values())


def _unlike(parents: Iterable[Parent]) -> Iterable[Parent]:
    """Without those that are like one before: parents that were made of nothing else differ only in these."""
    found: dict[object, Parent] = {}
    for parent in parents:
        asset = parent.asset
        key = (parent.role, id(asset)) if asset.parents else (parent.role, asset.licence, asset.modality)
        found.setdefault(key, parent)
    return found.values()
