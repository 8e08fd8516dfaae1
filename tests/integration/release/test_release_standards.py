"""What `freehold release build` writes, against the schemas of the standards it is written in."""

from __future__ import annotations

import json
from pathlib import Path

from release_fixtures import Installation

from freehold.release.inventory import CYCLONEDX, MOF_JSON, MOF_TEXT, OSAID, README, SPDX, Inventory
from freehold.release.layout import read_inventory
from freehold.release.standards import documents, mof_class, problems


def _built(installation: Installation, out: Path, *arguments: str) -> tuple[Inventory, dict[str, bytes]]:
    """Build a release and look at what every release's documents must keep to."""
    installation.build(out, *arguments)
    inventory, manifest = read_inventory(out)
    written = {path: (out / path).read_bytes() for path in (README, CYCLONEDX, SPDX, MOF_JSON, MOF_TEXT, OSAID)}
    assert problems(written) == ()
    assert written == documents(inventory), "the documents follow from inventory.json alone"
    listed = {each["name"] for each in json.loads(written[CYCLONEDX])["components"] if each["type"] == "file"}
    assert listed == {file.path for file in manifest.files if file.role not in ("inventory", "standard")}
    return inventory, written


def test_a_built_release_keeps_every_standard(installation: Installation, tmp_path: Path) -> None:
    inventory, written = _built(installation, tmp_path / "plain")
    assert mof_class(inventory).name == "no class"
    assert 'license_name: "all-rights-reserved"' in written[README].decode()


def test_a_release_of_the_organisations_own_rows_can_be_open(installation: Installation, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("# What it can do\n", encoding="utf-8")
    wishes = (
        "--licence",
        "Apache-2.0",
        "--data-licence",
        "CC-BY-4.0",
        "--with-data",
        "--data-reviewed-by",
        "A. Person",
    )
    inventory, written = _built(installation, tmp_path / "open", *wishes, "--report", str(report))
    assert mof_class(inventory).name == "Class II, Open Tooling"
    assert json.loads(written[OSAID])["meets"] is True


def test_the_command_that_validates_names_what_is_wrong(installation: Installation, tmp_path: Path) -> None:
    out = tmp_path / "release"
    installation.build(out)
    done = installation.run("validate", str(out))
    assert done.returncode == 0 and "each keeps its standard's rules" in done.stdout, done.stderr
    card = out / README
    card.write_text(card.read_text(encoding="utf-8").replace("# urgent", "# harmless"), encoding="utf-8")
    bill = json.loads((out / CYCLONEDX).read_bytes())
    bill["specVersion"], bill["version"] = "1.6", 0
    (out / CYCLONEDX).write_text(json.dumps(bill), encoding="utf-8")
    done = installation.run("validate", str(out), "--json")
    assert done.returncode == 9
    found = json.loads(done.stdout)["problems"]
    assert [problem.split(" ")[0].rstrip(":") for problem in found] == [CYCLONEDX, README, CYCLONEDX]
