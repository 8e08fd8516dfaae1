"""The documents of a release against the schemas of their standards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from inventories import DOCUMENTS, adapted, bare, classical, inventories, open_science

from freehold.domain.errors import ConfigError
from freehold.release import inventory as inv
from freehold.release.standards import documents, problems

ALL = {"classical": classical, "adapted": adapted, "bare": bare, "open": open_science}
quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", ALL)
def test_every_document_keeps_its_standard(name: str) -> None:
    written = documents(ALL[name]())
    assert tuple(written) == DOCUMENTS
    assert problems(written) == ()


@quick
@given(inventories())
def test_any_inventory_gives_documents_that_keep_their_standards(inventory: inv.Inventory) -> None:
    written = documents(inventory)
    assert problems(written) == ()
    again = msgspec.json.decode(inv.canonical_json(inventory), type=inv.Inventory)
    assert documents(again) == written, "what is read back from inventory.json gives other bytes"


def _spdx(graph: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(element for element in graph if element["type"] == kind)


def _break_spdx(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Any], object]:
    return lambda document: change(document["@graph"])


BROKEN: dict[str, tuple[str, Callable[[Any], object]]] = {
    "a serial number that is none": (inv.CYCLONEDX, lambda d: d.update(serialNumber="urn:uuid:1")),
    "a field that CycloneDX has not": (inv.CYCLONEDX, lambda d: d["metadata"]["component"].update(colour="red")),
    "a hash that is too short": (inv.CYCLONEDX, lambda d: d["metadata"]["component"]["hashes"][0].update(content="a")),
    "a licence that SPDX has not": (
        inv.CYCLONEDX,
        lambda d: d["metadata"]["component"].update(licenses=[{"license": {"id": "Made-Up"}}]),
    ),
    "a dependency on nothing": (inv.CYCLONEDX, lambda d: d["dependencies"][0]["dependsOn"].append("nowhere")),
    "two components of one name": (inv.CYCLONEDX, lambda d: d["components"][1].update({"bom-ref": "dataset"})),
    "an SPDX property that is none": (inv.SPDX, _break_spdx(lambda g: _spdx(g, "ai_AIPackage").update(ai_colour="x"))),
    "a value that is none of the list": (
        inv.SPDX,
        _break_spdx(lambda g: _spdx(g, "ai_AIPackage").update(ai_useSensitivePersonalInformation="maybe")),
    ),
    "no time of creation": (inv.SPDX, _break_spdx(lambda g: _spdx(g, "CreationInfo").pop("created"))),
    "a relationship to nothing": (inv.SPDX, _break_spdx(lambda g: _spdx(g, "Relationship").update(to=["https://x#y"]))),
    "a model without a version": (
        inv.SPDX,
        _break_spdx(lambda g: _spdx(g, "ai_AIPackage").pop("software_packageVersion")),
    ),
    "an element with no licence": (
        inv.SPDX,
        _break_spdx(lambda g: g.remove(next(e for e in g if e.get("relationshipType") == "hasConcludedLicense"))),
    ),
    "sixteen components": (inv.MOF_JSON, lambda d: d["release"]["components"].pop()),
    "a component without a licence": (inv.MOF_JSON, lambda d: d["release"]["components"][0].pop("license_name")),
    "another framework": (inv.MOF_JSON, lambda d: d["framework"].update(name="Another")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_document_that_breaks_its_standard_is_found(what: str) -> None:
    path, change = BROKEN[what]
    document = json.loads(documents(classical())[path])
    change(document)
    found = problems({path: json.dumps(document).encode()})
    assert found and all(path in problem for problem in found)


@pytest.mark.parametrize("path", [inv.README, inv.CYCLONEDX, inv.SPDX, inv.MOF_JSON])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"release": [], "framework": 1}'])
def test_what_is_no_document_is_a_problem_and_not_a_crash(path: str, data: bytes) -> None:
    assert problems({path: data})


def test_a_card_whose_front_matter_is_spoilt_is_found() -> None:
    text = documents(classical())[inv.README].decode()
    assert problems({inv.README: text.replace('license: "apache-2.0"\n', "").encode()})
    assert problems({inv.README: text.replace("tags:\n", "tags: [\n").encode()})


def test_names_that_look_like_markup_cannot_break_the_card() -> None:
    evil = '</td>| `a` [x](javascript:1)\n# Title\n---\nlicense: "mit"'
    inventory = msgspec.structs.replace(classical(), name=evil, task=evil, description=evil, supplier=evil)
    text = documents(inventory)[inv.README].decode()
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert [line for line in front.splitlines() if line.startswith("license")] == ['license: "apache-2.0"']
    assert problems({inv.README: text.encode()}) == ()
    assert [line for line in body.splitlines() if line.startswith("# ")] == [body.splitlines()[1]]
    assert not re.search(r"(?<!\\)(\]\(javascript|</td>)", body), "markup that is not escaped"


def test_every_document_separates_declared_present_and_verified() -> None:
    written = documents(classical())
    components = {each["bom-ref"]: each for each in json.loads(written[inv.CYCLONEDX])["components"]}
    states = {
        ref: next(each["value"] for each in component["properties"] if each["name"] == "freehold:state")
        for ref, component in components.items()
        if ref.startswith("file:")
    }
    assert states["file:model/tensors.safetensors"] == "verified" and states["file:training/lock.txt"] == "present"
    graph = json.loads(written[inv.SPDX])["@graph"]
    names = {each["spdxId"]: each["name"] for each in graph if each["type"] == "software_File"}
    said = {names[each["subject"]]: each["statement"].split(".")[0] for each in graph if each["type"] == "Annotation"}
    assert said == {ref.removeprefix("file:"): state for ref, state in states.items()}
    told = "declared | not said" in written[inv.MOF_TEXT].decode()
    assert told and "- checkpoint: It is trained in one segment." in written[inv.README].decode()


def test_hashes_and_licences_are_those_of_the_inventory() -> None:
    inventory = adapted()
    written = documents(inventory)
    bom, graph = json.loads(written[inv.CYCLONEDX]), json.loads(written[inv.SPDX])["@graph"]
    hashes = {each["name"]: each["hashes"][0]["content"] for each in bom["components"] if each.get("hashes")}
    files = {each["name"]: each.get("verifiedUsing", [{}])[0].get("hashValue") for each in graph if "name" in each}
    for item in inventory.items:
        if item.path and item.sha256:
            assert hashes[item.path] == files[item.path] == item.sha256
    base = next(each for each in bom["components"] if each["bom-ref"] == "base-model")
    assert base["licenses"][0]["expression"] == "LicenseRef-freehold-llama-3.2"
    assert [each["name"] for each in bom["metadata"]["component"]["pedigree"]["ancestors"]] == ["someone/small-1b"]
    assert [e["simplelicensing_licenseExpression"] for e in graph if e["type"].endswith("LicenseExpression")] == [
        "CC-BY-4.0",
        "Apache-2.0",
        "LicenseRef-freehold-llama-3.2",
    ]


def test_words_that_a_licence_wants_shown_stand_at_the_top_of_the_card() -> None:
    plain = classical()
    duty = msgspec.structs.replace(plain.rights.duties[0], kind="display", text="Built with Something")
    rights = msgspec.structs.replace(plain.rights, duties=(duty,))
    card = documents(msgspec.structs.replace(plain, rights=rights))[inv.README].decode()
    assert "**Built with Something**" in card.split("\n## ")[0]


def test_no_licence_is_no_permission() -> None:
    written = documents(bare())
    assert 'license_name: "all-rights-reserved"' in written[inv.README].decode()
    assert json.loads(written[inv.CYCLONEDX])["metadata"]["component"]["licenses"] == []
    graph = json.loads(written[inv.SPDX])["@graph"]
    declared = [each["to"][0] for each in graph if each.get("relationshipType") == "hasDeclaredLicense"]
    assert {each.rsplit("/", 1)[1] for each in declared} == {"NoneLicense"}


def test_documents_are_written_without_the_libraries_that_check_them() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests/unit/release')\n"
        "for name in ('cyclonedx', 'spdx_python_model', 'huggingface_hub', 'yaml'): sys.modules[name] = None\n"
        "from inventories import classical\n"
        "from freehold.domain.errors import ConfigError\n"
        "from freehold.release.standards import documents, problems\n"
        "written = documents(classical())\n"
        "for path in ('README.md', 'standards/cyclonedx.json', 'standards/spdx.json'):\n"
        "    try: problems({path: written[path]})\n"
        "    except ConfigError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'freehold[sbom]'") == 3
    assert ConfigError.exit_code == 2
