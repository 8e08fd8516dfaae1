"""SPDX 3.0.1 as JSON-LD, with the Core, Software, AI, Dataset and licensing profiles.

The student is an `ai_AIPackage`, the rows are a `dataset_DatasetPackage`, a base model, of which less is known, is a
`software_Package` whose purpose is to be a model, and every file is a `software_File`; relationships say what was
trained and tested on what, what contains what, and which licence was declared and concluded. Each file's state
(declared, present or verified) is an annotation, since SPDX has no field for it.

`problems` reads the document with spdx-python-model (Apache-2.0), whose classes are generated from the SHACL shapes of
SPDX 3.0.1: it refuses unknown types, properties and values, and missing properties. What the shapes leave to prose is
checked here: nothing may be referred to that is not there, packages and files have the properties and licences that
their profiles ask for (spdx-3-model: AI, Dataset and Licensing, profile conformance). SPDX's JSON schema is in no
package that can be installed offline, and is not used.
"""

from __future__ import annotations

import io
import mimetypes
import re
from typing import Any

import msgspec

from freehold.release.inventory import BaseModel, Inventory, Role, State, canonical_json
from freehold.release.standards.sentences import application, limitations, metrics, number
from freehold.release.standards.shared import (
    File,
    base_licence,
    document_uuid,
    expression,
    files_of,
    instant,
    library,
    pathless,
    recipe_settings,
)

_CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_NOTHING_SAID = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"
_NO_LICENCE = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoneLicense"
_INFO = "_:creation"
_PROFILES = ["core", "software", "ai", "dataset", "simpleLicensing", "expandedLicensing"]
_MEDIA_TYPE = re.compile(r"[^/]+/[^/]+")
_PURPOSES: dict[Role, str] = {
    "weights": "model",
    "model-manifest": "manifest",
    "gate": "model",
    "dataset": "data",
    "row-hashes": "data",
    "evaluation-data": "data",
    "evidence": "evidence",
    "certificate": "evidence",
    "evaluation-results": "test",
    "training-code": "source",
    "lock": "requirement",
    "model-card": "documentation",
    "technical-report": "documentation",
    "research-paper": "documentation",
    "data-card": "documentation",
    "notice": "documentation",
    "licence": "documentation",
    "pipeline": "configuration",
    "training-record": "configuration",
    "inventory": "manifest",
    "standard": "bom",
}
_DATA_ROLES: frozenset[Role] = frozenset(("dataset", "dataset-record", "row-hashes", "data-card", "pipeline"))
_OF_MODEL: dict[str, frozenset[Role]] = {
    "hasDocumentation": frozenset(("model-card", "technical-report", "research-paper", "notice")),
    "hasEvidence": frozenset(("certificate", "evidence", "evaluation-results")),
    "hasDependencyManifest": frozenset(("lock",)),
    "hasMetadata": frozenset(("inventory", "training-record")),
}
_Object = dict[str, Any]


def write(inventory: Inventory) -> bytes:
    """`spdx.json`."""
    return canonical_json({"@context": _CONTEXT, "@graph": _Graph(inventory).objects()})


class _Graph:
    """The elements of one document, in the order they were added."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._namespace = f"https://spdx.org/spdxdocs/freehold-{document_uuid(inventory)}"
        self._at = instant(inventory.created_ns)
        self._files = files_of(inventory)
        self._elements: list[_Object] = []
        self._licence_ids: dict[str, str] = {}

    def objects(self) -> list[_Object]:
        """All of it: who says so, the document, then what it tells of."""
        agent = self._add("Organization" if self._inventory.supplier else "SoftwareAgent", "supplier")
        agent["name"] = self._inventory.supplier or self._inventory.software
        tool = self._add("Tool", "tool", name=self._inventory.software)
        model = self._model(agent["spdxId"])
        dataset = self._dataset(agent["spdxId"])
        files = {file.path: self._file(file, number) for number, file in enumerate(self._files)}
        self._relate("trainedOn", model, dataset)
        self._relate("testedOn", model, dataset)
        if self._inventory.weights.base is not None:
            self._relate("descendantOf", model, self._base(self._inventory.weights.base))
        self._relate_files(model, dataset, files)
        information = {
            "type": "CreationInfo",
            "@id": _INFO,
            "specVersion": "3.0.1",
            "created": self._at,
            "createdBy": [agent["spdxId"]],
            "createdUsing": [tool["spdxId"]],
        }
        return [information, *self._collections(model), *self._elements]

    def _add(self, kind: str, fragment: str, /, **properties: Any) -> _Object:
        element: _Object = {
            "type": kind,
            "spdxId": f"{self._namespace}#{fragment}",
            "creationInfo": _INFO,
            **properties,
        }
        self._elements.append(element)
        return element

    def _collections(self, model: str) -> list[_Object]:
        elements = [element["spdxId"] for element in self._elements]
        sbom = {
            "type": "software_Sbom",
            "spdxId": f"{self._namespace}#sbom",
            "creationInfo": _INFO,
            "profileConformance": _PROFILES,
            "software_sbomType": ["build"],
            "rootElement": [model],
            "element": elements,
        }
        document = {
            "type": "SpdxDocument",
            "spdxId": f"{self._namespace}#document",
            "creationInfo": _INFO,
            "name": self._inventory.name,
            "profileConformance": _PROFILES,
            "rootElement": [sbom["spdxId"]],
        }
        return [document, sbom]

    def _model(self, supplier: str) -> str:
        inventory = self._inventory
        told = "; ".join(f"{item.role}: {item.note or 'only told of'}" for item in pathless(inventory))
        element = self._add(
            "ai_AIPackage",
            "model",
            name=inventory.name,
            summary=f"A student for the task {inventory.task}",
            description=inventory.description,
            suppliedBy=supplier,
            releaseTime=self._at,
            builtTime=self._at,
            software_packageVersion=inventory.release_id,
            software_primaryPurpose="model",
            software_downloadLocation="model/",
            verifiedUsing=[_sha256(inventory.weights.sha256, "Of model/manifest.json, which names all of it.")],
            ai_typeOfModel=[inventory.weights.kind, inventory.weights.architecture],
            ai_domain=[inventory.task],
            ai_informationAboutApplication=application(inventory),
            ai_informationAboutTraining=_training(inventory),
            ai_hyperparameter=_entries(_settings(inventory)),
            ai_limitation="\n".join(limitations(inventory)),
            ai_metric=_entries({metric.name: number(metric.value) for metric in metrics(inventory)}),
            ai_metricDecisionThreshold=_entries(_bounds(inventory)),
            ai_modelDataPreprocessing=[step.step for step in inventory.data.steps],
            ai_useSensitivePersonalInformation="noAssertion",
            **({"comment": f"Not in the folder: {told}."} if told else {}),
            **_energy(inventory),
        )
        self._licence(element["spdxId"], inventory.licence, _concluded(inventory))
        return element["spdxId"]

    def _dataset(self, originator: str) -> str:
        data = self._inventory.data
        counted = ", ".join(f"{rows} under {terms}" for terms, rows in sorted(data.terms.items()))
        size = sum(item.bytes for item in self._inventory.items_of("dataset"))
        availability: _Object = {}
        if data.shipped:
            availability = {"dataset_datasetAvailability": "directDownload", "dataset_datasetSize": size}
        element = self._add(
            "dataset_DatasetPackage",
            "dataset",
            name=data.dataset_id,
            description=f"{data.rows} rows of the task {self._inventory.task}, "
            + ("which are in the folder." if data.shipped else f"which are not given out. {data.why_not_shipped}"),
            originatedBy=[originator],
            builtTime=self._at,
            releaseTime=self._at,
            software_packageVersion=data.sha256,
            software_primaryPurpose="data",
            software_downloadLocation="data/",
            verifiedUsing=[_sha256(data.sha256, "Of the rows in order, as canonical MessagePack.")],
            dataset_datasetType=["text", "structured"] if data.form == "json" else ["text", "categorical"],
            dataset_dataCollectionProcess="Requests and answers recorded at the gateway, "
            f"{instant(data.since_ns)} to {instant(data.until_ns)}: {counted or 'of unknown terms'}.",
            dataset_dataPreprocessing=[f"{step.step}: {step.took} rows to {step.gave}" for step in data.steps],
            dataset_anonymizationMethodUsed=list(data.treated),
            dataset_hasSensitivePersonalInformation="noAssertion",
            dataset_intendedUse=f"To train and certify {self._inventory.name}.",
            **availability,
        )
        self._licence(element["spdxId"], data.licence, "")
        return element["spdxId"]

    def _base(self, base: BaseModel) -> str:
        licence, ancestor = base_licence(self._inventory)
        element = self._add(
            "software_Package",
            "base-model",
            name=base.name,
            description=f"What was trained on; revision {base.revision} of {base.source}. Not made here.",
            software_packageVersion=base.revision,
            software_primaryPurpose="model",
            **({"software_downloadLocation": base.source} if "://" in base.source else {}),
            comment="Files by SHA-256: " + "; ".join(f"{path} {digest}" for path, digest in sorted(base.files.items())),
        )
        text = ancestor and (ancestor.text or ancestor.source)
        known_as = f"{ancestor.name if ancestor else base.licence}; its text: {text or 'not kept'}"
        self._licence(element["spdxId"], licence, "", known_as)
        return element["spdxId"]

    def _file(self, file: File, number: int) -> str:
        name = f"file-{number}"
        media = file.media_type or mimetypes.guess_type(file.path)[0] or ""
        purposes = list(dict.fromkeys(_PURPOSES.get(role, "other") for role in file.roles))
        element = self._add(
            "software_File",
            name,
            name=file.path,
            software_fileKind="file",
            software_primaryPurpose=purposes[0],
            **({"software_additionalPurpose": purposes[1:]} if purposes[1:] else {}),
            **({"contentType": media} if _MEDIA_TYPE.fullmatch(media) else {}),
            **({"verifiedUsing": [_sha256(file.sha256, "")]} if file.sha256 else {}),
        )
        self._licence(element["spdxId"], file.licence, "")
        self._add(
            "Annotation",
            f"state-{name}",
            annotationType="review",
            subject=element["spdxId"],
            statement=_state(file.state, file.notes),
        )
        return element["spdxId"]

    def _licence(self, subject: str, licence: str, doubt: str, known_as: str = "") -> None:
        """What is declared, and what we conclude: the same, except where there is a doubt, which is told."""
        declared = self._licence_id(licence, known_as) if licence else _NO_LICENCE
        concluded, comment = declared, doubt
        if not licence:
            concluded, comment = _NOTHING_SAID, doubt or "Nobody has said under which licence; read it as none."
        elif doubt:
            concluded = _NOTHING_SAID
        self._relate("hasDeclaredLicense", subject, declared)
        self._relate("hasConcludedLicense", subject, concluded, comment=comment)

    def _licence_id(self, licence: str, known_as: str) -> str:
        written = expression(licence)
        if written not in self._licence_ids:
            name = f"licence-{len(self._licence_ids)}"
            own: _Object = {}
            if written.startswith("LicenseRef-"):
                text = self._add("simplelicensing_SimpleLicensingText", f"{name}-text")
                text["simplelicensing_licenseText"] = f"Known as {known_as or licence}."
                own["simplelicensing_customIdToUri"] = _entries({written: text["spdxId"]})
            expressed = self._add("simplelicensing_LicenseExpression", name, **own)
            expressed["simplelicensing_licenseExpression"] = written
            self._licence_ids[written] = expressed["spdxId"]
        return self._licence_ids[written]

    def _relate_files(self, model: str, dataset: str, files: dict[str, str]) -> None:
        data = [files[file.path] for file in self._files if not _DATA_ROLES.isdisjoint(file.roles)]
        self._relate("contains", dataset, *data)
        self._relate("contains", model, *(ref for ref in files.values() if ref not in data))
        for relationship, roles in _OF_MODEL.items():
            self._relate(relationship, model, *(files[f.path] for f in self._files if not roles.isdisjoint(f.roles)))

    def _relate(self, kind: str, source: str, *targets: str, comment: str = "") -> None:
        if targets:
            number = sum(element["type"] == "Relationship" for element in self._elements)
            relationship = self._add("Relationship", f"relationship-{number}", relationshipType=kind)
            relationship |= {"from": source, "to": list(targets)} | ({"comment": comment} if comment else {})


def _concluded(inventory: Inventory) -> str:
    """Why the licence is not all there is to say; empty: it is."""
    ruling = inventory.rights.distribute
    if ruling.outcome == "allow":
        return ""
    duties = "; ".join(dict.fromkeys(f"{duty.licence}: {duty.text or duty.kind}" for duty in inventory.rights.duties))
    return (
        f"Verdict on distributing: {ruling.outcome}, {ruling.date}. {duties or 'No duties.'} {inventory.rights.notice}"
    )


def _training(inventory: Inventory) -> str:
    training = inventory.training
    run = training.run
    where = f" On {run.machine.cpu}, {run.machine.system}, {run.machine.python}, by {run.software}." if run else ""
    took = f" It took {run.cpu_seconds:.3g} CPU seconds." if run else " On which machine was not recorded."
    return f"{training.method} Seed {training.seed}.{where}{took}"


def _settings(inventory: Inventory) -> dict[str, str]:
    seeds = {f"seed: {what}": str(seed) for what, seed in sorted(inventory.training.seeds.items())}
    recipe = {f"recipe: {name}": value for name, value in recipe_settings(inventory).items()}
    return {"seed": str(inventory.training.seed), **seeds, "parameters": str(inventory.weights.parameters), **recipe}


def _bounds(inventory: Inventory) -> dict[str, str]:
    return {
        metric.name: f"at most {number(metric.upper)}, on {metric.rows}"
        for metric in metrics(inventory)
        if metric.upper is not None
    }


def _energy(inventory: Inventory) -> _Object:
    kilowatt_hours = inventory.costs.kilowatt_hours
    if kilowatt_hours is None:
        return {}
    consumed = {
        "type": "ai_EnergyConsumptionDescription",
        "ai_energyQuantity": kilowatt_hours,
        "ai_energyUnit": "kilowattHour",
    }
    return {"ai_energyConsumption": {"type": "ai_EnergyConsumption", "ai_trainingEnergyConsumption": [consumed]}}


def _entries(pairs: dict[str, str]) -> list[_Object]:
    return [{"type": "DictionaryEntry", "key": key, "value": value} for key, value in pairs.items()]


def _sha256(digest: str, comment: str) -> _Object:
    told = {"comment": comment} if comment else {}
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest, **told}


def _state(state: State, notes: tuple[str, ...]) -> str:
    return ". ".join((state, *notes))


def problems(document: bytes) -> tuple[str, ...]:
    """What in a `spdx.json` breaks the shapes of SPDX 3.0.1 or the rules of its profiles; nothing: it keeps them.

    Raises:
        ConfigError: spdx-python-model is not installed.
    """
    model = library("spdx_python_model.bindings.v3_0_1", "spdx-python-model", "SPDX")
    graph = model.SHACLObjectSet()
    try:
        elements = msgspec.json.decode(document, type=_Document).graph
        model.JSONLDDeserializer().read(io.BytesIO(document), graph)
        model.JSONLDSerializer().write(graph, io.BytesIO())  # only writing asks for what is missing
    except (msgspec.DecodeError, KeyError, ValueError, TypeError) as failure:
        return (f"standards/spdx.json: {failure}.",)
    missing = [f"{ref!r} refers to nothing" for ref in sorted(graph.missing_ids) if not ref.startswith(_TERMS)]
    return tuple(f"standards/spdx.json: {problem}." for problem in [*missing, *_profile_rules(elements)])


class _Document(msgspec.Struct):
    graph: list[_Object] = msgspec.field(name="@graph")


_TERMS = "https://spdx.org/rdf/3.0.1/terms/"
_PACKAGE = ("software_downloadLocation", "software_primaryPurpose")
_ASKED_FOR = {
    "ai_AIPackage": ("suppliedBy", "releaseTime", "software_packageVersion", *_PACKAGE),
    "dataset_DatasetPackage": ("builtTime", "originatedBy", "releaseTime", "dataset_datasetType", *_PACKAGE),
    "software_Package": ("name",),
    "software_File": ("name",),
}


def _profile_rules(graph: list[_Object]) -> list[str]:
    """What the profiles ask for in prose: these properties, and one declared and one concluded licence."""
    licensed: dict[tuple[str, str], int] = {}
    for element in graph:
        if element["type"] == "Relationship":
            key = (element["relationshipType"], element["from"])
            licensed[key] = licensed.get(key, 0) + 1
    found: list[str] = []
    for element in graph:
        if element["type"] not in _ASKED_FOR:
            continue
        ref = element["spdxId"]
        found += [f"{ref} has no {name}" for name in _ASKED_FOR[element["type"]] if not element.get(name)]
        found += [
            f"{ref} has {licensed.get((kind, ref), 0)} relationships {kind}, not one"
            for kind in ("hasDeclaredLicense", "hasConcludedLicense")
            if licensed.get((kind, ref), 0) != 1
        ]
    return found
