"""Releases of a student that a desk's loop trained, built by the real command."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from loop_fixtures import Desk
from release_fixtures import Installation

from freehold.domain.evidence import Certificate, Dataset, Sample, signed_bytes
from freehold.release.inventory import (
    EvaluatedItem,
    Inventory,
    ReleaseManifest,
    ReleaseSignature,
    canonical_json,
)
from freehold.release.standards import problems
from freehold.runners.machine import code_digest
from freehold.store import Store
from freehold.store.artifacts import dataset_sha256, read_dataset, row_sha256s
from freehold.store.keys import SigningKey, verify

KILLED = """
import os, signal, sys
from pathlib import Path
import freehold.release.layout as layout
moment, count = sys.argv[1], int(sys.argv[2])
fsync, rename = os.fsync, Path.rename
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def counted(fd):
    global count
    fsync(fd)
    count -= 1
    if count == 0:
        die()
def moved(path, target):
    if moment == "before":
        die()
    found = rename(path, target)
    if moment == "after":
        die()
    return found
layout.os.fsync = counted if moment == "write" else fsync
Path.rename = moved
from freehold.cli.main import main
main(sys.argv[3:])
"""


class Built:
    """A release as a stranger reads it."""

    def __init__(self, folder: Path, told: dict[str, Any], installation: Installation) -> None:
        self.folder, self.told, self.installation = folder, told, installation
        self.manifest = msgspec.json.decode(self.read("manifest.json"), type=ReleaseManifest)
        self.inventory = msgspec.json.decode(self.read("inventory.json"), type=Inventory)

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return (self.folder / path).read_bytes()

    def rows(self) -> list[Sample]:
        """The rows that are in it."""
        lines = zstandard.ZstdDecompressor().decompress(self.read("data/rows.jsonl.zst")).splitlines()
        return [msgspec.json.decode(line, type=Sample) for line in lines]


@pytest.fixture(scope="module")
def with_data(owned_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A release with everything that can be in it."""
    folder = tmp_path_factory.mktemp("release")
    installation = Installation(folder, owned_desk)
    report = folder / "report.md"
    report.write_text("# What it can do\n", encoding="utf-8")
    wishes = [
        "--with-data",
        "--data-reviewed-by",
        "Data office",
        "--licence",
        "apache-2.0",
        "--data-licence",
        "cc0-1.0",
    ]
    told = installation.build(folder / "out", *wishes, "--report", str(report), "--supplier", "Example Ltd")
    return Built(folder / "out", told, installation)


@contextlib.contextmanager
def opened(installation: Installation) -> Generator[Store]:
    """The installation's store for a while."""
    data = installation.folder / "data"
    store = Store.open(data, f"sqlite:///{data / 'control.sqlite'}")
    yield store
    store.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_manifest_names_every_file_and_its_hash_and_is_signed(with_data: Built) -> None:
    there = {path.relative_to(with_data.folder).as_posix() for path in with_data.folder.rglob("*") if path.is_file()}
    listed = [file.path for file in with_data.manifest.files]
    assert listed == sorted(listed)
    assert set(listed) == there - {"manifest.json", "manifest.sig"}
    for file in with_data.manifest.files:
        data = with_data.read(file.path)
        assert (file.bytes, file.sha256) == (len(data), sha256(data)), file.path
    signature = msgspec.json.decode(with_data.read("manifest.sig"), type=ReleaseSignature)
    key = SigningKey.open(with_data.installation.folder / "data" / "keys" / "signing.key").public_key()
    assert key == with_data.told["public_key"] == with_data.inventory.public_key == signature.public_key
    assert verify(key, with_data.read("manifest.json"), signature.signature)
    folders = {path for path in with_data.folder.rglob("*") if path.is_dir()}
    assert all(any(folder.iterdir()) for folder in folders)


def test_every_json_is_canonical_and_the_inventory_agrees_with_the_files(with_data: Built) -> None:
    for file in with_data.manifest.files:
        if file.path.endswith(".json") and file.path.split("/")[0] not in ("standards", "model"):
            assert canonical_json(msgspec.json.decode(with_data.read(file.path))) == with_data.read(file.path), (
                file.path
            )
    hashes = {file.path: file.sha256 for file in with_data.manifest.files}
    for item in with_data.inventory.items:
        if item.sha256:
            assert item.sha256 == hashes[item.path]
        assert item.state != "verified" or item.sha256, item
        assert item.path in hashes or (item.state == "declared" and item.note), item
    told = {item.path for item in with_data.inventory.items}
    assert set(hashes) - told == {path for path in hashes if path.startswith("standards/")} | {"inventory.json"}


def test_the_rows_give_the_hashes_and_the_certified_hash(with_data: Built) -> None:
    rows, data = with_data.rows(), with_data.inventory.data
    listed = with_data.read("data/rows.txt")
    assert listed.decode().splitlines() == row_sha256s(rows)
    assert sha256(listed) == data.rows_root
    dataset = msgspec.json.decode(with_data.read("data/dataset.json"), type=Dataset)
    certificate = msgspec.json.decode(with_data.read("evaluation/certificate.json"), type=Certificate)
    assert dataset_sha256(rows) == data.sha256 == dataset.sha256 == certificate.dataset_sha256
    assert (len(rows), data.terms, data.origins) == (data.rows, {"own": len(rows)}, {"incumbent": len(rows)})
    assert data.shipped
    assert data.reviewed_by == "Data office"


def test_the_evaluation_is_that_of_the_certificate(with_data: Built) -> None:
    lines = with_data.read("evaluation/items.jsonl").splitlines()
    items = [msgspec.json.decode(line, type=EvaluatedItem) for line in lines]
    certificate = msgspec.json.decode(with_data.read("evaluation/certificate.json"), type=Certificate)
    rows, hashes = with_data.rows(), with_data.read("data/rows.txt").decode().splitlines()
    assert verify(certificate.public_key, signed_bytes(certificate), certificate.signature)
    assert sha256(with_data.read("evaluation/evidence.json")) == certificate.evidence_sha256
    assert sha256(with_data.read("model/manifest.json")) == certificate.rungs[0].sha256
    assert len(items) == certificate.certify_rows == with_data.inventory.evaluation.items
    for item in items:
        assert rows[item.row].part == "certify"
        assert item.sha256 == hashes[item.row]
        assert item.loss == float(item.output != rows[item.row].answer)
    answered = [item for item in items if item.signal >= certificate.thresholds[0] and item.novelty <= 1]
    assert sum(item.loss for item in answered) >= certificate.loss_sum


def test_the_training_is_recorded_where_it_happened(with_data: Built) -> None:
    training, costs = with_data.inventory.training, with_data.inventory.costs
    run = training.run
    assert run is not None
    assert training.same_code is True
    assert 0 < run.cpu_seconds < 60
    assert costs.cpu_seconds == run.cpu_seconds
    assert costs.kilowatt_hours == pytest.approx(run.cpu_seconds * 15 / 3.6e6)
    assert costs.dollars == pytest.approx(run.cpu_seconds / 3600 * 0.05)
    assert run.machine.cores > 0
    assert run.machine.arithmetic
    lock = with_data.read("training/lock.txt").decode().splitlines()
    assert f"scikit-learn=={run.packages['scikit-learn']}" in lock
    with zipfile.ZipFile(io.BytesIO(with_data.read("training/code.zip"))) as archive:
        code = {name.removeprefix("freehold/"): archive.read(name) for name in archive.namelist()}
    hashes = {name: sha256(data) for name, data in code.items()}
    assert code_digest(hashes) == training.code_sha256
    assert run.code.items() <= hashes.items()
    assert training.seed == json.loads(with_data.read("model/manifest.json"))["seed"]


def test_the_documents_keep_their_standards(with_data: Built) -> None:
    pytest.importorskip("cyclonedx")
    written = {file.path: with_data.read(file.path) for file in with_data.manifest.files}
    assert problems({path: data for path, data in written.items() if path.endswith((".json", ".md"))}) == ()


def test_the_release_is_noted_for_recalls(with_data: Built) -> None:
    with opened(with_data.installation) as store:
        (record,) = store.control.releases.list()
    assert record.manifest_sha256 == sha256(with_data.read("manifest.json"))
    assert (record.path, record.student) == (str(with_data.folder), with_data.installation.student)
    assert msgspec.to_builtins(record) == with_data.told["release"]


def test_show_tells_what_is_there_what_is_missing_and_that_it_is_no_advice(with_data: Built) -> None:
    done = with_data.installation.run("show", str(with_data.folder))
    assert done.returncode == 0, done.stderr
    for words in (
        "verified",
        "declared",
        "Class II, Open Tooling",
        "Missing for Class I, Open Science",
        "Research paper",
        "Open Source AI Definition 1.0",
        "Not legal advice",
        "measured",
        "assuming 15 W",
        "nothing was verified",
    ):
        assert words in done.stdout  # fmt: skip
    told = json.loads(with_data.installation.run("show", str(with_data.folder), "--json").stdout)
    assert told["mof"]["mof_class"] == 2
    assert told["inventory"]["release_id"] == with_data.manifest.release_id


def test_without_a_reason_to_ship_them_only_the_hashes_of_rows_are_there(installation: Installation) -> None:
    out = installation.folder / "out"
    told = installation.build(out, "--with-data")
    assert not told["shipped"]
    assert "no step of the pipeline treats personal data" in told["why_not_shipped"]
    release = Built(out, told, installation)
    prompts = {sample.prompt for sample in samples_of(installation)}
    assert len(prompts) > 500
    for file in release.manifest.files:
        data = release.read(file.path)
        assert not any(prompt.encode() in data for prompt in prompts), file.path
    assert len(release.read("data/rows.txt").splitlines()) == release.inventory.data.rows
    assert release.inventory.licence == ""
    done = installation.run("build", installation.student, "--out", str(out), "--name", "again")
    assert done.returncode == 4
    assert "only ever written to a new place" in done.stderr


def test_another_key_signs_when_it_is_given(installation: Installation) -> None:
    key = SigningKey.open(installation.folder / "other.key")
    told = installation.build(installation.folder / "out", "--sign", str(installation.folder / "other.key"))
    signature = json.loads((installation.folder / "out" / "manifest.sig").read_bytes())
    assert told["public_key"] == signature["public_key"] == key.public_key()
    body = (installation.folder / "out" / "manifest.json").read_bytes()
    assert verify(key.public_key(), body, signature["signature"])


def test_model_signing_verifies_with_its_own_tool(installation: Installation) -> None:
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem, public = installation.folder / "key.pem", installation.folder / "key.pub"
    private = serialization.PrivateFormat.PKCS8
    pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, info))
    out = installation.folder / "out"
    installation.build(out, "--model-signing", str(pem))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(out), "--signature", str(out / "model.sig")]
    command += ["--public_key", str(public)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    (out / "NOTICE").write_bytes(b"other")
    assert subprocess.run(command, capture_output=True, timeout=200, check=False).returncode != 0
    bad = installation.run("build", installation.student, "--out", "x", "--name", "x", "--model-signing", str(public))
    assert bad.returncode == 2
    assert "no key that model-signing can sign with" in bad.stderr


def test_a_student_that_is_not_the_certified_one_is_not_released(installation: Installation) -> None:
    with opened(installation) as store:
        student = store.control.students.get(installation.student)
        assert student is not None
    tensors = installation.folder / "data" / student.path / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    before = sorted(installation.folder.iterdir())
    done = installation.run("build", student.student_id, "--out", str(installation.folder / "out"), "--name", "x")
    assert done.returncode == 1
    assert "not the one that was certified" in done.stderr
    assert sorted(installation.folder.iterdir()) == before


def test_a_student_without_certificate_or_of_no_name_is_refused(installation: Installation) -> None:
    done = installation.run("build", "st_nobody", "--out", "x", "--name", "x")
    assert (done.returncode, "There is no student 'st_nobody'" in done.stderr) == (3, True)
    with opened(installation) as store:
        student = store.control.students.get(installation.student)
        assert student is not None
        store.control.students.put(msgspec.structs.replace(student, student_id="st_00000001", training=None))
    done = installation.run("build", "st_00000001", "--out", str(installation.folder / "out"), "--name", "x")
    assert done.returncode == 7
    assert "has no certificate of its own" in done.stderr


def test_a_build_that_is_killed_leaves_no_release_or_a_whole_one(installation: Installation) -> None:
    place = installation.folder / "place"
    build = ["release", "build", installation.student, "--name", "x", "--config", str(installation.config)]
    for moment, count in (("write", 3), ("write", 29), ("before", 0), ("after", 0)):
        out = place / f"{moment}{count}"
        command = [sys.executable, "-c", KILLED, moment, str(count), *build, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == -9, done.stderr
        assert out.exists() is (moment == "after")
        drafts = [path for path in place.iterdir() if path.name.startswith(".")]
        assert len(drafts) == 1, "one build tidies up after the one before it"
    told = installation.build(place / "last")
    assert sorted(path.name for path in place.iterdir()) == ["after0", "last"]
    for folder in ("after0", "last"):
        release = Built(place / folder, told, installation)
        assert all(sha256(release.read(file.path)) == file.sha256 for file in release.manifest.files)
    with opened(installation) as store:
        noted = {Path(record.path).name for record in store.control.releases.list()}
    assert noted >= {"after0", "last"}


def samples_of(installation: Installation) -> list[Sample]:
    """The dataset's rows."""
    with opened(installation) as store:
        student = store.control.students.get(installation.student)
        assert student is not None
        dataset = store.control.datasets.get(student.dataset_id)
        assert dataset is not None
        return read_dataset(store.data / dataset.path, dataset.sha256)
