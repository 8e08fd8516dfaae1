"""What rights say, today, of serving what is to be promoted or is in force: rulings, and duties with their evidence.

Each is ruled anew from the lineage, the table, the organisation's facts and counsel's decisions as they are now: what
was permitted when a student was trained need not be any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import RightsError, RightsPending
from freehold.domain.evidence import Certificate
from freehold.domain.rights import UNKNOWN, Action, Asset, Organisation, Ruling
from freehold.domain.tasks import Task
from freehold.rights import rule, terms_of_upstream, terms_of_upstreams, verdict_of
from freehold.rights.duties import DutyState, duties_of
from freehold.rights.lineage import router_asset, student_asset
from freehold.rights.words import duty_in_words, in_words, what_to_do
from freehold.store.counsel import decisions, fulfilments, ids_in_force, today

if TYPE_CHECKING:
    from freehold.store import Store


class ServingRights(NamedTuple):
    """What rights say of answering a task's requests with one asset."""

    task: str
    asset: Asset
    rulings: tuple[Ruling, ...]
    """One for each way in which it is, or may be, served."""
    duties: tuple[DutyState, ...]
    """Of all rulings together."""

    @property
    def refusal(self) -> Ruling | None:
        """The first ruling that does not permit serving it."""
        return next((ruling for ruling in self.rulings if not ruling.permits), None)

    @property
    def unmet(self) -> tuple[DutyState, ...]:
        """Duties that are not met."""
        return tuple(duty for duty in self.duties if not duty.met)


def serving_actions(organisation: Organisation) -> tuple[Action, ...]:
    """The ways in which models answer here; both where it is not known, so that the stricter counts."""
    if organisation.serves_public is None:
        return ("serve_internally", "serve_public")
    return ("serve_public",) if organisation.serves_public else ("serve_internally",)


def serving_rights(store: Store, settings: Settings, task: Task, asset: Asset) -> ServingRights:
    """What rights say today of answering `task` with `asset`.

    Raises:
        StoreError: the database or the signing key cannot be read.
    """
    counsel = decisions(store, task.task_id, asset.asset_id)
    done = fulfilments(store, task.task_id)
    rulings = tuple(
        rule(action, asset, settings.organisation, today(), decisions=counsel)
        for action in serving_actions(settings.organisation)
    )
    found = [duty for ruling in rulings for duty in duties_of(ruling, done, settings.organisation, name=task.name)]
    return ServingRights(task.task_id, asset, rulings, tuple(dict.fromkeys(found)))


def objection(rights: ServingRights) -> RightsError | None:
    """Why it may not be served today, naming the clause and the command that helps; None if it may.

    RightsPending: it may be once counsel has decided, or a duty is fulfilled.
    """
    name, refusal = rights.asset.asset_id, rights.refusal
    if refusal is not None:
        verdict = verdict_of(refusal)
        kind = RightsPending if refusal.outcome == "needs-counsel" else RightsError
        action = refusal.action.replace("_", " ")
        return kind(f"{name} may not {action}: {in_words(verdict)}", what_to_do(verdict))
    if not rights.unmet:
        return None
    first, *more = rights.unmet
    others = f" And {len(more)} more." if more else ""
    return RightsPending(
        f"{name} waits for a duty to be met: {duty_in_words(first)} {first.why[:1].upper()}{first.why[1:]}.{others}",
        f"Do it, then record it: `{first.todo}`." if first.todo else "Stop what contradicts it, or ask counsel.",
    )


def assets_of(store: Store, settings: Settings, certificate: Certificate) -> Iterator[Asset]:
    """What answers in the incumbent's place under a certificate, and what chooses among it; not rented models, of
    which nothing is served but answers that were asked for."""
    first = certificate.rungs[0]
    if first.routed:
        yield router_asset(first.signal, store.control.datasets.get(certificate.dataset_id))
    for rung in certificate.rungs:
        if rung.kind == "student":
            yield asset_of_student(store, rung.name)
            continue
        upstream = settings.upstreams.get(rung.name.partition("/")[0])
        if upstream is not None and upstream.owned:
            yield Asset(asset_id=rung.name, licence=terms_of_upstream(upstream))


def asset_of_student(store: Store, student_id: str) -> Asset:
    """A student with its lineage; one whose record is gone is made of nobody knows what."""
    student = store.control.students.get(student_id)
    if student is None:
        return Asset(asset_id=student_id, licence=UNKNOWN)
    return student_asset(student, store.control.datasets.get(student.dataset_id))


def rights_in_force(store: Store, settings: Settings) -> list[ServingRights]:
    """What rights say today of everything that serves.

    Raises:
        StoreError: the control store cannot be read.
    """
    found: list[ServingRights] = []
    for entry in store.control.current_policy().tasks.values():
        name = entry.ladder.certificate if entry.ladder else entry.rungs[0].certificate if entry.rungs else ""
        found += certified_rights(store, settings, name)
    return found


def certified_rights(store: Store, settings: Settings, certificate_id: str) -> list[ServingRights]:
    """What rights say today of serving what a certificate is for; nothing, if it or its task is gone.

    Raises:
        StoreError: the control store cannot be read.
    """
    certificate = store.control.certificates.get(certificate_id)
    task = store.control.tasks.get(certificate.task) if certificate else None
    if certificate is None or task is None:
        return []
    return [serving_rights(store, settings, task, asset) for asset in assets_of(store, settings, certificate)]


def rights_mark(store: Store, settings: Settings) -> str:
    """A hash of all that is known of rights and may change: another one means that it is worth asking again.

    Raises:
        StoreError: the control store cannot be read.
    """
    known = (__version__, ids_in_force(store), settings.organisation, terms_of_upstreams(settings.upstreams))
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()
