"""The Open Source AI Definition's checklist: what of the preferred form for making changes the release gives.

Open Source Initiative, "The Open Source AI Definition", version 1.0 (October 2024): whoever gets the system may use,
study, modify and share it for any purpose without asking; to that end they get data information (enough for a skilled
person to build a substantially equivalent system), the complete code that trained and runs it, and the parameters, each
under terms that the Initiative approves of. The data themselves are not asked for where they cannot be shared. Of a
model that was trained on another one's weights, the other's data information and code are asked for too.

There is no schema: the definition is a text. By our reading. Of licences, only the common ones of source code that the
Initiative has approved count here, and for what is not code Creative Commons' Attribution and Attribution-ShareAlike,
which its answers to questions about the definition name for documents: a person may know of more.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.rights import DutyKind
from freehold.release.inventory import NOT_LEGAL_ADVICE, Inventory, Role, State, canonical_json
from freehold.release.standards.sentences import LIMITING
from freehold.release.standards.shared import SOURCE_LICENCES, base_licence, given, weakest

Freedom = Literal["use", "study", "modify", "share"]
_OPEN_TERMS = SOURCE_LICENCES | {"CC-BY-4.0", "CC-BY-SA-4.0"}
_LIMITS_SHARING: frozenset[DutyKind] = frozenset(("not-distributed", "registration"))
_CODE: tuple[tuple[Role, str], ...] = (
    ("preprocessing-code", "the code that made rows of traffic"),
    ("training-code", "the code that trained it"),
    ("evaluation-code", "the code that tested it"),
    ("inference-code", "the code that answers with it"),
    ("architecture", "the architecture"),
)
_DATA_INFORMATION: tuple[tuple[Role, str], ...] = (
    ("data-card", "where the data is from, how it was got, chosen, labelled and treated"),
    ("dataset-record", "what was left out, and by which step"),
)


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three things that the definition asks for."""

    element: Literal["data information", "code", "parameters"]
    state: State | None
    """The weakest of what it consists of; None: something is not there."""
    paths: tuple[str, ...]
    missing: tuple[str, ...]
    """What stands in the way, in sentences; nothing: it is given."""


class OsaidReport(msgspec.Struct, frozen=True, kw_only=True):
    """The checklist, filled in."""

    meets: bool
    elements: tuple[Element, ...]
    freedoms: dict[Freedom, str]
    """What stands in the way of each; empty: nothing."""
    missing: tuple[str, ...]
    """All of it, in one list."""
    reading: str = f"The Open Source AI Definition 1.0. {NOT_LEGAL_ADVICE}"


def osaid_report(inventory: Inventory) -> OsaidReport:
    """What the release lacks for the definition."""
    elements = (
        _element(inventory, "data information", _DATA_INFORMATION, _OPEN_TERMS),
        _element(inventory, "code", _CODE, SOURCE_LICENCES),
        _element(inventory, "parameters", _parameters(inventory), _OPEN_TERMS),
    )
    freedoms = _freedoms(inventory, elements)
    missing = [sentence for element in elements for sentence in element.missing]
    missing += [limit for limit in _limits(inventory).values() if limit]
    return OsaidReport(meets=not missing, elements=elements, freedoms=freedoms, missing=tuple(missing))


def _parameters(inventory: Inventory) -> tuple[tuple[Role, str], ...]:
    wanted: list[tuple[Role, str]] = [("weights", "the weights")]
    if inventory.weights.tokenizer_sha256:
        wanted.append(("tokenizer", "the tokenizer"))
    if inventory.weights.template_sha256:
        wanted.append(("chat-template", "the chat template"))
    return tuple(wanted)


def _element(
    inventory: Inventory,
    element: Literal["data information", "code", "parameters"],
    wanted: tuple[tuple[Role, str], ...],
    accepted: frozenset[str],
) -> Element:
    states: list[State] = []
    absent = False
    paths: list[str] = []
    missing: list[str] = []
    for role, what in wanted:
        found = given(inventory, role)
        paths += found.paths
        if found.state is None:
            absent = True
        else:
            states.append(found.state)
        if not found.provided:
            missing.append(f"{_capital(what)}: not in the release.")
        elif closed := [licence or "no licence" for licence in found.licences if licence not in accepted]:
            missing.append(f"{_capital(what)}: under {' and '.join(closed)}, not known here as open.")
    missing += _of_the_base(inventory, element)
    return Element(
        element=element,
        state=None if absent else weakest(states),
        paths=tuple(dict.fromkeys(paths)),
        missing=tuple(missing),
    )


def _of_the_base(inventory: Inventory, element: str) -> list[str]:
    base = inventory.weights.base
    if base is None:
        return []
    if element == "parameters":
        licence, _ = base_licence(inventory)
        return [] if licence in _OPEN_TERMS else [f"The base model {base.name} is under {licence or 'no licence'}."]
    return [f"The {element} of the base model {base.name} is not in the release."]


def _freedoms(inventory: Inventory, elements: tuple[Element, ...]) -> dict[Freedom, str]:
    weights = given(inventory, "weights")
    closed = [licence or "no licence" for licence in weights.licences if licence not in _OPEN_TERMS]
    licence = f"The weights are given under {' and '.join(closed)}, not known here as open." if closed else ""
    lacking = [element.element for element in elements if element.missing]
    study = f"Not all that it is made of is openly given: {', '.join(lacking)}." if lacking else ""
    limits = _limits(inventory)
    return {"use": limits["use"] or licence, "study": study, "modify": study, "share": limits["share"] or licence}


def _limits(inventory: Inventory) -> dict[Literal["use", "share"], str]:
    """What the lineage takes away, whatever licence the weights are given under; empty: nothing."""
    duties = inventory.rights.duties
    use = [f"{duty.licence}/{duty.clause}" for duty in duties if duty.kind in LIMITING]
    share = [f"{duty.licence}/{duty.clause}" for duty in duties if duty.kind in _LIMITS_SHARING]
    if not inventory.rights.distribute.permits:
        share.append(f"the verdict on distributing is {inventory.rights.distribute.outcome}")
    return {"use": _limited("Use", use), "share": _limited("Sharing", share)}


def _limited(what: str, by: list[str]) -> str:
    return f"{what} is limited by the lineage: {', '.join(dict.fromkeys(by))}." if by else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def write(inventory: Inventory) -> bytes:
    """`osaid.json`."""
    return canonical_json(osaid_report(inventory))
