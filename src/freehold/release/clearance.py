"""What has to be settled before a release may be given out: rulings, duties and how they are met, licences, NOTICE."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import RequestError, RightsError, RightsPending, StoreError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.rights import Asset, DutyKind, Organisation, Parent, Role, Ruling
from freehold.release.inventory import (
    LICENCES,
    NOT_LEGAL_ADVICE,
    NOTICE,
    Ancestor,
    Item,
    Lineage,
    MetDuty,
    Rights,
)
from freehold.release.layout import Content
from freehold.release.models import public_name
from freehold.release.parts import Part, Wanted, item, public_ruling
from freehold.rights import OWN, licences, rule, verdict_of
from freehold.rights.duties import DutyState, duties_of
from freehold.rights.lineage import student_asset, terms_in
from freehold.rights.words import duty_in_words, in_words, what_to_do
from freehold.store.artifacts import sha256_of
from freehold.store.counsel import decisions, fulfilments, today
from freehold.store.recalls import check_not_recalled

if TYPE_CHECKING:
    from freehold.store import Store

_CODE_LICENCE = "apache-2.0"
_BY_WRITING: dict[DutyKind, str] = {
    "notice": f"{NOTICE} says so; a notice whose words the licence fixes is in its text in {LICENCES}/.",
    "licence-copy": "The text is in the release.",
    "changes-marked": f"{NOTICE} says what was made, of what, and when.",
    "name-prefix": "The release is called so.",
    "display": f"It stands in README.md and {NOTICE}; a product that uses the model must display it too.",
}
"""Kinds of duties that a release meets by how it is written → how."""
_BY_OTHERS = {
    "fulfilled": "Who gives this out has recorded that it was done.",
    "standing": "Who gives this out keeps to it.",
}


class Clearance(NamedTuple):
    """All is settled."""

    rights: Rights
    lineage: Lineage
    part: Part
    data_unmet: tuple[str, ...]
    """Duties of distributing the rows that are not met, in words."""


def clear(
    store: Store,
    settings: Settings,
    student: Student,
    dataset: Dataset,
    samples: Sequence[Sample],
    wanted: Wanted,
) -> Clearance:
    """Rule on giving the student, and its rows, to others, today; look at every duty.

    Raises:
        RightsError: the student may not be distributed, or was recalled; RightsPending: counsel has to decide first, or
            a duty is not met. Clause, source, date and what to do are named.
        RequestError: a licence is named whose text is not there.
        StoreError: the database or a text cannot be read.
    """
    check_not_recalled(store, "student", student.student_id)
    check_not_recalled(store, "dataset", dataset.dataset_id)
    # To build a release is to distribute, whatever the organisation says that it does otherwise.
    organisation = msgspec.structs.replace(settings.organisation, distributes_weights=True)
    texts = _texts(student, dataset, wanted)
    asset = student_asset(student, dataset)
    ruling = _ruling(store, asset, student, organisation)
    _refuse(ruling)
    states = _duties(store, ruling, student, organisation)
    _refuse_unmet(states, wanted, texts)
    rows = _rows_asset(dataset, samples)
    data_ruling = _ruling(store, rows, student, organisation)
    data_unmet = [duty_in_words(state) for state in _duties(store, data_ruling, student, organisation) if not state.met]
    rights = Rights(
        distribute=public_ruling(ruling),
        distribute_data=public_ruling(data_ruling),
        duties=tuple(_met(state) for state in states),
    )
    lineage = _lineage(student, dataset, samples, texts)
    part = _part(rights, lineage, student, texts, wanted)
    return Clearance(rights, lineage, part, tuple(data_unmet))


def _ruling(store: Store, asset: Asset, student: Student, organisation: Organisation) -> Ruling:
    counsel = decisions(store, student.task, asset.asset_id, student.student_id)
    return rule("distribute", asset, organisation, today(), decisions=counsel)


def _refuse(ruling: Ruling) -> None:
    if ruling.permits:
        return
    verdict = verdict_of(ruling)
    kind = RightsPending if ruling.outcome == "needs-counsel" else RightsError
    raise kind(f"{ruling.asset_id} may not be given to others: {in_words(verdict)}", what_to_do(verdict))


def _duties(store: Store, ruling: Ruling, student: Student, organisation: Organisation) -> tuple[DutyState, ...]:
    done = fulfilments(store, student.task)
    return duties_of(ruling, done, organisation, met=_BY_WRITING.keys(), name=student.student_id)


def _refuse_unmet(states: Sequence[DutyState], wanted: Wanted, texts: dict[str, bytes]) -> None:
    found = [(state, todo) for state in states if (todo := _left_to_do(state, wanted, texts))]
    if not found:
        return
    (first, todo), *more = found
    others = "".join(f" Also: {duty_in_words(state)} {left}" for state, left in more)
    raise RightsPending(f"A duty of giving the student to others is not met: {duty_in_words(first)}{others}", todo)


def _left_to_do(state: DutyState, wanted: Wanted, texts: dict[str, bytes]) -> str:
    """What is left to do for a duty; empty: nothing."""
    if state.state == "unmet":
        return f"Do it, then record it: `{state.todo}`." if state.todo else "It forbids a release: ask counsel."
    if state.state != "construction":
        return ""
    if state.duty.kind == "name-prefix" and not wanted.name.startswith(state.duty.text):
        return f"Name it so: --name {state.duty.text!r} and what you like."
    if state.duty.kind == "licence-copy" and state.licence not in texts:
        return f"Give the text of the licence: --licence-text {state.licence} FILE."
    return ""


def _met(state: DutyState) -> MetDuty:
    how = _BY_WRITING[state.duty.kind] if state.state == "construction" else _BY_OTHERS[state.state]
    return MetDuty(
        kind=state.duty.kind,
        text=state.duty.text,
        licence=state.licence,
        clause=state.clause,
        source=state.source,
        date=state.date,
        how=how,
    )


def _rows_asset(dataset: Dataset, samples: Sequence[Sample]) -> Asset:
    """The rows as they are: each under its own terms."""
    names = sorted({sample.terms for sample in samples})
    parents = tuple(Parent("rows", Asset(asset_id=name, licence=name)) for name in names)
    return Asset(asset_id=dataset.dataset_id, licence=OWN, parents=parents)


def _texts(student: Student, dataset: Dataset, wanted: Wanted) -> dict[str, bytes]:
    """Licence → its text, of all in the lineage that there is one of, of the release's own and of the code."""
    found: dict[str, bytes] = {}
    of_base = (student.base_licence,) if student.base_licence else ()
    for licence in dict.fromkeys((_CODE_LICENCE, *of_base, *terms_in(dataset))):
        text = _text(licence, wanted.texts.get(licence))
        if text is not None:
            found[licence] = text
    if wanted.licence:
        _refuse_other_licence(student, dataset, wanted.licence)
        text = _text(wanted.licence.lower(), wanted.texts.get(wanted.licence.lower()))
        if text is None:
            raise RequestError(
                f"The package has no text of the licence {wanted.licence}.",
                f"Give it: --licence-text {wanted.licence} FILE.",
            )
        found[wanted.licence.lower()] = text
    return found


def _text(licence: str, given: Path | None) -> bytes | None:
    try:
        if given is not None:
            return given.read_bytes()
        path = package_files("freehold.rights") / "texts" / f"{licence}.txt"
        return path.read_bytes() if "/" not in licence and path.is_file() else None
    except OSError as error:
        raise StoreError(
            f"The text of {licence} cannot be read: {given}: {error.strerror}.", "Check the file."
        ) from error


def _refuse_other_licence(student: Student, dataset: Dataset, licence: str) -> None:
    """A student of some teachers, and what is made of some models' weights, comes under their licence and no other."""
    made_of = [(name, "on answers") for name in terms_in(dataset)]
    made_of += [(student.base_licence, f"from {public_name(student.base)},")] if student.base else []
    for name, how in made_of:
        entry = licences().get(name)
        if entry is not None and entry.students_inherit and licence.lower() not in (name, entry.spdx.lower()):
            raise RightsError(
                f"Student {student.student_id} was trained {how} under {name}, whose licence it comes under "
                f"itself ({entry.read}; not legal advice); {licence} is another.",
                f"Give it out under that: --licence {name}.",
            )


def _lineage(student: Student, dataset: Dataset, samples: Sequence[Sample], texts: dict[str, bytes]) -> Lineage:
    rows = Counter(sample.terms for sample in samples)
    names = dict.fromkeys((*terms_in(dataset), *sorted(rows)))
    return Lineage(
        student_id=student.student_id,
        dataset_id=dataset.dataset_id,
        parent_dataset=dataset.parent,
        ancestors=(
            *([_ancestor("base", public_name(student.base), student.base_licence, 0, texts)] if student.base else []),
            *(_ancestor("teacher", name, name, rows[name], texts) for name in names),
        ),
    )


def _ancestor(role: Role, asset_id: str, name: str, rows: int, texts: dict[str, bytes]) -> Ancestor:
    entry = licences().get(name)
    text = entry.texts[0] if entry is not None and entry.texts else None
    if entry is None:
        called = "the organisation's own" if name == OWN else "unknown"
        return Ancestor(role=role, asset_id=asset_id, licence=name, name=called, rows=rows)
    return Ancestor(
        role=role,
        asset_id=asset_id,
        licence=name,
        name=entry.name,
        spdx=entry.spdx,
        source=text.source if text else "",
        sha256=text.sha256 if text else "",
        read=entry.read,
        text=f"{LICENCES}/{name}.txt" if name in texts else "",
        rows=rows,
    )


def _part(rights: Rights, lineage: Lineage, student: Student, texts: dict[str, bytes], wanted: Wanted) -> Part:
    files: dict[str, Content] = {NOTICE: _notice(rights, lineage, student, wanted).encode()}
    items: list[Item] = [item(NOTICE, "notice", "present", wanted.licence)]
    for licence, text in sorted(texts.items()):
        path = f"{LICENCES}/{licence}.txt"
        files[path] = text
        entry = licences().get(licence)
        known = entry is not None and sha256_of(text) in {read.sha256 for read in entry.texts}
        note = "The text that the table of clauses was read from." if known else "As the package, or a person, has it."
        items.append(item(path, "licence", "verified" if known else "present", "", f"{licence}: {note}"))
    return Part(files, tuple(items))


def _notice(rights: Rights, lineage: Lineage, student: Student, wanted: Wanted) -> str:
    date = datetime.date.fromisoformat(rights.distribute.date)
    shown = dict.fromkeys(duty.text for duty in rights.duties if duty.kind == "display")
    lines = [wanted.name, *([f"Given out by {wanted.supplier}"] if wanted.supplier else []), *shown, ""]
    lines += [
        f"Weights made by freehold {__version__} (student {lineage.student_id}), released on {date.isoformat()}. They",
        _origin(student),
        "",
        "Licence of the weights, results and documents: " + (wanted.licence or "none: all rights reserved"),
        f"Licence of training/code.zip: Apache-2.0, {LICENCES}/apache-2.0.txt",
        "",
        "Made of answers got under:",
    ]
    lines += [_made_of(found) for found in lineage.ancestors if found.role != "base"]
    bases = [_made_of(found) for found in lineage.ancestors if found.role == "base"]
    lines += ["", "Made from the weights of:", *bases] if bases else []
    lines += ["", "Duties, and how this release meets them:"]
    for duty in rights.duties:
        lines.append(f"- {duty.licence}/{duty.clause} ({duty.source}, {duty.date}): {duty.kind}: {duty.text}")
        lines.append(f"  {duty.how}")
    lines += [*([] if rights.duties else ["- none"]), "", NOT_LEGAL_ADVICE, ""]
    return "\n".join(lines)


def _origin(student: Student) -> str:
    if not student.base:
        return "were trained from nothing: no weights of others were changed or are in it."
    name = f"{public_name(student.base)} ({student.base_licence or 'licence unknown'})"
    return f"were trained from the weights of {name}, which were changed, or extended by an adapter, by that."


def _made_of(found: Ancestor) -> str:
    where = ", ".join(filter(None, (found.source, f"read {found.read}" if found.read else "", found.text)))
    what = f"{found.rows} rows" if found.role != "base" else found.asset_id
    return f"- {found.licence} ({found.name}): {what}" + (f"; {where}" if where else "")
