"""The Model Openness Framework's checklist: which of its components are in the release, and which class that makes.

White et al. (2024), "The Model Openness Framework", arXiv:2403.13784: seventeen components of a model's life, three
classes of openness, III (open model), II (open tooling) and I (open science), each of which asks for the components of
those before it and its own, under open licences of a kind that fits: of source code, of data, or of documents. Where
the paper leaves room, this follows the settings of the reference implementation, the Model Openness Tool of LF AI &
Data: supporting libraries, sample outputs and metadata are not required; a research paper stands in for a technical
report; datasets count whatever their licence; parameters and documents may have a licence of source code too.

By our reading. A component counts when it is in the folder and somebody has put it under an open licence: one that is
only told of does not, and neither does one whose licence is not known to be open.

`mof.json` has the keys that the tool's `mof_schema.json` asks for, so that it can be handed in there, and ours beside
them. That schema is in no package that can be installed, so `problems` checks the same rules by itself.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from freehold.release.inventory import NOT_LEGAL_ADVICE, Inventory, Role, State, canonical_json
from freehold.release.standards.sentences import cell
from freehold.release.standards.shared import OPENMDW, SOURCE_LICENCES, base_licence, day, given

Content = Literal["code", "data", "document"]
MofClass = Literal[0, 1, 2, 3]
"""1 is the most open; 0: none is reached."""
CLASSES: tuple[MofClass, ...] = (3, 2, 1)
"""In the order in which they are reached."""
CLASS_NAMES: dict[MofClass, str] = {
    0: "no class",
    1: "Class I, Open Science",
    2: "Class II, Open Tooling",
    3: "Class III, Open Model",
}
_DATA = frozenset(
    [
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0",
        "ODC-By-1.0",
        "ODbL-1.0",
        "PDDL-1.0",
    ]
)
_DOCUMENT = frozenset(("CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0"))
_OPEN: dict[Content, frozenset[str]] = {
    "code": SOURCE_LICENCES | OPENMDW,
    "data": _DATA | OPENMDW,
    "document": _DOCUMENT | OPENMDW,
}
_LISTED = {licence.lower(): licence for accepted in _OPEN.values() for licence in accepted}


class Component(NamedTuple):
    """One of the seventeen."""

    name: str
    mof_class: MofClass
    """The first class that asks for it."""
    required: bool
    content: tuple[Content, ...]
    """Of which kinds its licence may be; none: whatever licence it has."""
    roles: tuple[Role, ...]
    """Items that are it."""
    what: str


COMPONENTS: tuple[Component, ...] = (
    Component("Model architecture", 3, True, ("code",), ("architecture",), "How answers follow from parameters."),
    Component("Model parameters (Final)", 3, True, ("data", "code"), ("weights",), "The weights that are served."),
    Component("Technical report", 3, True, ("document", "code"), ("technical-report",), "What it can do, for users."),
    Component("Evaluation results", 3, True, ("document", "code"), ("evaluation-results",), "Scores, item by item."),
    Component("Model card", 3, True, ("document", "code"), ("model-card",), "Purpose, figures and limits."),
    Component(
        "Data card", 3, True, ("document", "code"), ("data-card",), "Where the data is from; how it was treated."
    ),
    Component("Sample model outputs", 3, False, (), ("evaluation-results",), "Answers that it gave."),
    Component("Training code", 2, True, ("code",), ("training-code",), "What made the weights of the data."),
    Component("Inference code", 2, True, ("code",), ("inference-code",), "What answers with the weights."),
    Component("Evaluation code", 2, True, ("code",), ("evaluation-code",), "What scored the answers."),
    Component("Evaluation data", 2, True, ("data",), ("evaluation-data",), "The questions it was scored on."),
    Component("Supporting libraries and tools", 2, False, ("code",), ("lock",), "All else that was installed."),
    Component("Research paper", 1, True, ("document",), ("research-paper",), "How it was made, for researchers."),
    Component("Datasets", 1, True, (), ("dataset",), "The rows it was trained on."),
    Component("Data preprocessing code", 1, True, ("code",), ("preprocessing-code",), "What made rows of traffic."),
    Component("Model parameters (Intermediate)", 1, True, ("data",), ("checkpoint",), "Weights while it was trained."),
    Component("Model metadata", 1, False, ("data",), ("training-record",), "Settings, seeds and machine."),
)
_STANDS_IN = {"Technical report": "Research paper"}


class Assessed(msgspec.Struct, frozen=True, kw_only=True):
    """One component in one release."""

    component: str
    mof_class: MofClass
    required: bool
    state: State | None
    """None: it is not there."""
    licences: tuple[str, ...]
    """An empty string where nobody has said."""
    counts: bool
    why_not: str = ""
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ClassStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How far a release is from one class."""

    mof_class: MofClass
    name: str
    reached: bool
    missing: tuple[str, ...]
    """What still has to be done: one sentence for each component, of this class and those before it."""


class MofReport(msgspec.Struct, frozen=True, kw_only=True):
    """The checklist, filled in."""

    mof_class: MofClass
    """The most open class that is reached."""
    name: str
    standings: tuple[ClassStanding, ...]
    """Of III, II and I."""
    components: tuple[Assessed, ...]


def as_listed(licence: str) -> str:
    """An SPDX id as SPDX lists it, whose ids are the same in any case; what
    is not known here as an open licence stays as it is."""
    return _LISTED.get(licence.lower(), licence)


def mof_class(inventory: Inventory) -> MofReport:
    """The class that the release is of, and what is missing for each higher one."""
    components = tuple(_assess(inventory, component) for component in COMPONENTS)
    counting = {each.component for each in components if each.counts}
    standings = tuple(_standing(level, components, counting) for level in CLASSES)
    reached: MofClass = 0
    for standing in standings:
        if not standing.reached:
            break
        reached = standing.mof_class
    return MofReport(mof_class=reached, name=CLASS_NAMES[reached], standings=standings, components=components)


def _assess(inventory: Inventory, component: Component) -> Assessed:
    found = given(inventory, *component.roles)
    licences = found.licences
    if component.roles == ("weights",) and inventory.weights.base is not None:
        licences = tuple(dict.fromkeys((*licences, base_licence(inventory)[0])))
    why_not = ""
    if found.state is None:
        why_not = "not in the release"
    elif not found.provided:
        why_not = "only told of" + (f" ({found.notes[0].rstrip('.')})" if found.notes else "")
    elif component.content and (closed := _not_open(licences, component.content)):
        kinds = " or ".join(component.content)
        why_not = f"under {closed}, which is not known here as an open licence for {kinds}"
    return Assessed(
        component=component.name,
        mof_class=component.mof_class,
        required=component.required,
        state=found.state,
        licences=licences,
        counts=not why_not,
        why_not=why_not,
        paths=found.paths,
        notes=found.notes,
    )


def _not_open(licences: tuple[str, ...], content: tuple[Content, ...]) -> str:
    """Those of the licences that are not open for any of the kinds, in words; empty: all are."""
    accepted = frozenset[str]().union(*(_OPEN[kind] for kind in content))
    closed = [licence or "no licence" for licence in licences if licence not in accepted]
    return " and ".join(closed)


def _standing(level: MofClass, components: tuple[Assessed, ...], counting: set[str]) -> ClassStanding:
    wanted = [each for each in components if each.required and each.mof_class >= level]
    missing = tuple(
        f"{each.component}: {each.why_not}."
        for each in wanted
        if not each.counts and _STANDS_IN.get(each.component) not in counting
    )
    return ClassStanding(mof_class=level, name=CLASS_NAMES[level], reached=not missing, missing=missing)


def write_json(inventory: Inventory) -> bytes:
    """The checklist for machines."""
    report = mof_class(inventory)
    document: dict[str, Any] = {
        "framework": {"name": "Model Openness Framework", "version": "1.0", "date": "2024-12-15"},
        "release": {
            "name": inventory.name,
            "version": inventory.release_id,
            "date": day(inventory.created_ns),
            "type": "language",
            "architecture": "other" if inventory.weights.kind == "classifier" else "transformer decoder",
            "origin": inventory.weights.base.name if inventory.weights.base else "",
            "producer": inventory.supplier,
            "contact": "",
            "components": [
                _tool_entry(component, assessed)
                for component, assessed in zip(COMPONENTS, report.components, strict=True)
            ],
        },
        "assessment": report,
        "reading": f"White et al. (2024), arXiv:2403.13784. {NOT_LEGAL_ADVICE}",
    }
    return canonical_json(document)


def _tool_entry(component: Component, assessed: Assessed) -> dict[str, str]:
    """A component with the Model Openness Tool's keys, and its words for what is missing."""
    provided = assessed.state in ("present", "verified")
    licence = " AND ".join(assessed.licences) if all(assessed.licences) else "License not specified"
    return {
        "name": component.name,
        "description": component.what,
        "location": ", ".join(assessed.paths) if provided else "",
        "license_name": licence if provided else "Component not included",
        "license_path": "",
    }


def write_markdown(inventory: Inventory) -> bytes:
    """The checklist for people."""
    report = mof_class(inventory)
    lines = [
        f"# How open is {cell(inventory.name)}?",
        "",
        f"By the Model Openness Framework: **{report.name}**.",
        "",
        "| component | class | state | licence | counts |",
        "|---|---|---|---|---|",
    ]
    for each in report.components:
        level = "I" * each.mof_class + ("" if each.required else ", optional")
        licences = ", ".join(cell(licence) or "not said" for licence in each.licences) or "–"
        state = each.state or "missing"
        lines.append(f"| {each.component} | {level} | {state} | {licences} | {'yes' if each.counts else 'no'} |")
    for standing in report.standings:
        lines += ["", f"## {standing.name}: {'reached' if standing.reached else 'not reached'}", ""]
        lines += [f"- {cell(sentence)}" for sentence in standing.missing] or ["Nothing is missing."]
    lines += [
        "",
        "*declared*: somebody says so. *present*: it is in the folder, under a signed hash. *verified*: it was found "
        "to be what it is said to be when the release was built.",
        "",
        f"White et al. (2024), arXiv:2403.13784. {NOT_LEGAL_ADVICE}",
    ]
    return ("\n".join(lines) + "\n").encode()


_ARCHITECTURES = ("", "transformer", "transformer decoder", "transformer encoder-decoder", "other")
_TEXTS = ("name", "version", "date", "architecture", "origin", "producer", "contact")
_COMPONENT_TEXTS = ("name", "description", "location", "license_name", "license_path")


def problems(document: bytes) -> tuple[str, ...]:
    """What in a `mof.json` breaks the rules of the Model Openness Tool's schema; nothing: it keeps them."""
    try:
        read: Any = msgspec.json.decode(document)
        release, framework, listed = read["release"], read["framework"], read["release"]["components"]
    except (msgspec.DecodeError, TypeError, KeyError) as error:
        return (f"standards/mof.json has no framework, release or components: {error}.",)
    found = [f"release.{key} must be text" for key in _TEXTS if not isinstance(release.get(key), str)]
    if framework.get("name") != "Model Openness Framework":
        found.append("framework.name must be 'Model Openness Framework'")
    if release.get("architecture") not in _ARCHITECTURES:
        found.append(f"release.architecture must be one of {', '.join(map(repr, _ARCHITECTURES))}")
    if not release.get("name"):
        found.append("release.name must not be empty")
    if [each.get("name") for each in listed] != [component.name for component in COMPONENTS]:
        found.append("release.components must be the seventeen of the framework, each once")
    found += [
        f"release.components: {each.get('name')}: {key} must be text"
        for each in listed
        for key in _COMPONENT_TEXTS
        if not isinstance(each.get(key), str)
    ]
    return tuple(f"standards/mof.json: {problem}." for problem in found)
