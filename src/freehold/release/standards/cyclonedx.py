"""CycloneDX 1.6 (ECMA-424), a machine-learning bill of materials.

The student is `metadata.component`, with its model card; the dataset, the base model and every file of the release are
`components`, with hashes and licences; how the student was trained is a workflow of `formulation`; what it was trained
from is its `pedigree`. What the format has no field for stands in properties named `freehold:…`, among them each
file's state (declared, present or verified). There are no `declarations`: these are attestations of a standard by an
assessor, and nobody has made any.

`problems` checks against the published schema, which comes with cyclonedx-python-lib (Apache-2.0). The document is
written without that library: its model has no model cards. Formats of dates and addresses are checked only where
jsonschema finds the libraries for them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from freehold.release.inventory import ROW_HASHES, ROWS, BaseModel, Inventory, canonical_json
from freehold.release.standards.sentences import application, limitations, metrics, number
from freehold.release.standards.shared import (
    SOURCE_LICENCES,
    File,
    base_licence,
    document_uuid,
    files_of,
    instant,
    is_expression,
    library,
    pathless,
    recipe_settings,
)

_MODEL = "model"
_DATASET = "dataset"
_BASE = "base-model"
_TRAINING = "training"
_Object = dict[str, Any]


def write(inventory: Inventory) -> bytes:
    """`cyclonedx.json`."""
    document: _Object = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{document_uuid(inventory)}",
        "version": 1,
        "metadata": _metadata(inventory),
        "components": [_dataset(inventory), *_base(inventory), *(_file(file) for file in files_of(inventory))],
        "dependencies": _dependencies(inventory),
        "formulation": [_formula(inventory)],
    }
    return canonical_json(document)


def _metadata(inventory: Inventory) -> _Object:
    name, _, version = inventory.software.partition(" ")
    tool = {"type": "application", "name": name} | ({"version": version} if version else {})
    supplier = {"supplier": {"name": inventory.supplier}} if inventory.supplier else {}
    return {
        "timestamp": instant(inventory.created_ns),
        "tools": {"components": [tool]},
        "component": _model(inventory),
        **supplier,
    }


def _model(inventory: Inventory) -> _Object:
    weights = inventory.weights
    component: _Object = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": inventory.name,
        "version": inventory.release_id,
        "description": inventory.description,
        "licenses": _licences(inventory.licence),
        "hashes": _sha256(weights.sha256),
        "modelCard": _model_card(inventory),
        "properties": _properties(
            ("student", inventory.student_id),
            ("student-manifest-sha256", weights.sha256),
            ("format", weights.format),
            ("parameters", str(weights.parameters)),
            ("tokenizer-sha256", weights.tokenizer_sha256 or "none"),
            ("chat-template-sha256", weights.template_sha256 or "none"),
            ("certificate", inventory.evaluation.certificate_id),
            *((f"only-told-of:{item.role}", item.note or "no note") for item in pathless(inventory)),
        ),
    }
    if weights.base is not None:
        component["pedigree"] = {
            "ancestors": [_base_component(inventory, weights.base, "pedigree-")],
            "notes": "Its weights are what was trained on.",
        }
    return component


def _model_card(inventory: Inventory) -> _Object:
    classifies = inventory.weights.kind == "classifier"
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "text classification" if classifies else "text generation",
            "modelArchitecture": inventory.weights.architecture,
            "datasets": [{"ref": _DATASET}],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "json" if inventory.data.form == "json" else "text"}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {"type": metric.name, "value": number(metric.value), "slice": metric.rows}
                | ({} if metric.upper is None else {"confidenceInterval": {"upperBound": number(metric.upper)}})
                for metric in metrics(inventory)
            ]
        },
        "considerations": {
            "useCases": [application(inventory)],
            "technicalLimitations": list(limitations(inventory)),
            **_energy(inventory),
        },
    }


def _energy(inventory: Inventory) -> _Object:
    costs = inventory.costs
    if costs.kilowatt_hours is None:
        return {}
    consumption = {
        "activity": "training",
        "energyProviders": [],
        "activityEnergyCost": {"value": costs.kilowatt_hours, "unit": "kWh"},
        "properties": _properties(
            ("measured-cpu-seconds", str(costs.cpu_seconds)), ("assumed-watts-per-core", str(costs.watts_per_core))
        ),
    }
    return {"environmentalConsiderations": {"energyConsumptions": [consumption]}}


def _dataset(inventory: Inventory) -> _Object:
    data = inventory.data
    contents = {"contents": {"url": ROWS if data.shipped else ROW_HASHES}}
    return {
        "type": "data",
        "bom-ref": _DATASET,
        "name": data.dataset_id,
        "version": data.sha256,
        "hashes": _sha256(data.sha256),
        "licenses": _licences(data.licence),
        "data": [{"type": "dataset", "name": data.dataset_id, **contents}],
        "properties": _properties(
            ("rows", str(data.rows)),
            ("rows-root-sha256", data.rows_root),
            ("shipped", "yes" if data.shipped else f"no: {data.why_not_shipped}"),
            *((f"rows-of-part:{part}", str(rows)) for part, rows in sorted(data.parts.items())),
            *((f"rows-under-terms:{terms}", str(rows)) for terms, rows in sorted(data.terms.items())),
            *((f"rows-answered-by:{model}", str(rows)) for model, rows in sorted(data.answered_by.items())),
            *((f"treated:{step}", "yes") for step in data.treated),
        ),
    }


def _base(inventory: Inventory) -> list[_Object]:
    base = inventory.weights.base
    return [] if base is None else [_base_component(inventory, base, "")]


def _base_component(inventory: Inventory, base: BaseModel, prefix: str) -> _Object:
    """The base model; `prefix` keeps references apart where it stands twice."""
    licence, ancestor = base_licence(inventory)
    files = [
        {"type": "file", "bom-ref": f"{prefix}{_BASE}:{path}", "name": path, "hashes": _sha256(sha256)}
        for path, sha256 in sorted(base.files.items())
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"{prefix}{_BASE}",
        "name": base.name,
        "version": base.revision,
        "licenses": _licences(licence),
        **({"components": files} if files else {}),
        "properties": _properties(
            ("source", base.source),
            ("licence", ancestor.name if ancestor else base.licence),
            ("licence-text", (ancestor.text or ancestor.source) if ancestor else ""),
        ),
    }


def _file(file: File) -> _Object:
    return {
        "type": "file",
        "bom-ref": f"file:{file.path}",
        "name": file.path,
        **({"mime-type": file.media_type} if file.media_type else {}),
        **({"hashes": _sha256(file.sha256)} if file.sha256 else {}),
        "licenses": _licences(file.licence),
        "properties": _properties(
            ("state", file.state),
            *(("role", role) for role in file.roles),
            *(("note", note) for note in file.notes),
        ),
    }


def _dependencies(inventory: Inventory) -> list[_Object]:
    on = [_DATASET] if inventory.weights.base is None else [_BASE, _DATASET]
    weights = [f"file:{file.path}" for file in files_of(inventory) if "weights" in file.roles]
    return [{"ref": _MODEL, "dependsOn": sorted({*on, *weights})}]


def _formula(inventory: Inventory) -> _Object:
    training = inventory.training
    run = training.run
    workflow: _Object = {
        "bom-ref": _TRAINING,
        "uid": f"{_TRAINING}:{inventory.student_id}",
        "name": training.method,
        "taskTypes": ["build"],
        "inputs": [{"resource": {"ref": ref}} for ref in _inputs(inventory)],
        "outputs": [{"type": "artifact", "resource": {"ref": _MODEL}}],
        "properties": _properties(
            ("seed", str(training.seed)),
            *((f"seed:{what}", str(seed)) for what, seed in sorted(training.seeds.items())),
            *((f"recipe:{name}", value) for name, value in recipe_settings(inventory).items()),
            ("code-sha256", training.code_sha256),
            ("same-code", {True: "yes", False: "no", None: "unknown"}[training.same_code]),
            *_machine(inventory),
        ),
    }
    formula: _Object = {"bom-ref": "formula", "workflows": [workflow]}
    if run is not None and run.packages:
        formula["components"] = [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name.lower()}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name.lower()}@{version}",
            }
            for name, version in sorted(run.packages.items())
        ]
    return formula


def _inputs(inventory: Inventory) -> list[str]:
    wanted = {"training-code", "lock", "pipeline", "preprocessing-code"}
    files = [f"file:{file.path}" for file in files_of(inventory) if not wanted.isdisjoint(file.roles)]
    return [_DATASET, *([_BASE] if inventory.weights.base is not None else []), *files]


def _machine(inventory: Inventory) -> list[tuple[str, str]]:
    run = inventory.training.run
    if run is None:
        return [("machine", "unknown: it was trained before this was recorded")]
    machine = run.machine
    return [
        ("software", run.software),
        ("cpu", machine.cpu),
        ("instruction-sets", " ".join(machine.flags)),
        ("cores", str(machine.cores)),
        ("system", machine.system),
        ("python", machine.python),
        ("arithmetic", "; ".join(machine.arithmetic)),
        *((f"environment:{name}", value) for name, value in sorted(run.environment.items())),
        ("cpu-seconds", str(run.cpu_seconds)),
    ]


def _licences(licence: str) -> list[_Object]:
    if not licence:
        return []
    if licence in SOURCE_LICENCES:
        return [{"license": {"id": licence, "acknowledgement": "declared"}}]
    if is_expression(licence):
        return [{"expression": licence, "acknowledgement": "declared"}]
    return [{"license": {"name": licence, "acknowledgement": "declared"}}]


def _sha256(digest: str) -> list[_Object]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": f"freehold:{name}", "value": value} for name, value in pairs]


def problems(document: bytes) -> tuple[str, ...]:
    """What in a `cyclonedx.json` breaks the schema of CycloneDX 1.6, or refers to nothing; nothing: it keeps it.

    Raises:
        ConfigError: cyclonedx-python-lib is not installed.
    """
    validation = library("cyclonedx.validation.json", "cyclonedx-python-lib", "CycloneDX")
    version = library("cyclonedx.schema", "cyclonedx-python-lib", "CycloneDX").SchemaVersion.V1_6
    try:
        text = document.decode()
        read: Any = msgspec.json.decode(document)
        error = validation.JsonStrictValidator(version).validate_str(text)
    except (UnicodeDecodeError, msgspec.DecodeError) as failure:
        return (f"standards/cyclonedx.json is not JSON: {failure}.",)
    if error is not None:
        return (f"standards/cyclonedx.json: {error.data.message} (at {error.data.json_path}).",)
    return tuple(f"standards/cyclonedx.json: {problem}." for problem in _references(read))


def _references(document: _Object) -> list[str]:
    """What the schema cannot say: references are unique, and there is something at the end of each."""
    defined: list[str] = []
    used: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            entries: _Object = value  # pyright: ignore[reportUnknownVariableType]
            for key, inner in entries.items():
                if key == "bom-ref":
                    defined.append(inner)
                elif key == "ref" and isinstance(inner, str):
                    used.append(inner)
                elif key == "dependsOn":
                    used.extend(inner)
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:  # pyright: ignore[reportUnknownVariableType]
                walk(inner)

    walk(document)
    twice = sorted(ref for ref, times in Counter(defined).items() if times > 1)
    nowhere = sorted(set(used) - set(defined))
    return [f"two things are called {ref!r}" for ref in twice] + [f"{ref!r} refers to nothing" for ref in nowhere]
