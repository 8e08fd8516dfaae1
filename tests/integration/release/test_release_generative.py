"""Releases of language models: built with all their files, and verified by answering and training again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from click.testing import CliRunner
from forging import Forged, change
from generative_desk import GenerativeDesk
from safetensors.numpy import load, save

from freehold.cli.release import release_command
from freehold.domain.errors import ConfigError, RightsError, StudentError
from freehold.domain.evidence import Student
from freehold.domain.scoring import SqlScorer
from freehold.evaluate.losses import described
from freehold.loop.release_jobs import workshop_for
from freehold.release import inventory as inv
from freehold.release.build import build_release
from freehold.release.clearance import clear
from freehold.release.held import base_lacks, held
from freehold.release.inventory import Inventory
from freehold.release.layout import read_inventory
from freehold.release.parts import Wanted
from freehold.release.verify import Report, verify_release
from freehold.store import Store
from freehold.store.artifacts import sha256_of
from freehold.store.keys import SigningKey

WEIGHTS = "model/model/model.safetensors"
LICENCE = Path(__file__).parents[3] / "src" / "freehold" / "rights" / "texts" / "apache-2.0.txt"
ADAPTED = 'from = "base"\n[adapter]\nrank = 4'


class Release(NamedTuple):
    """A release, what built it, and the key that signed it."""

    folder: Path
    desk: GenerativeDesk
    student: Student

    @property
    def key(self) -> SigningKey:
        return self.desk.store.keys

    @property
    def inventory(self) -> Inventory:
        return read_inventory(self.folder)[0]

    def forged(self, folder: Path) -> Forged:
        return Forged(self.folder, folder / "forged", self.key)

    def verify(self, level: int, folder: Path | None = None, config: Path | None = None) -> Report:
        key = self.key.public_key()
        return verify_release(folder or self.folder, key, level, lambda kind: workshop_for(kind, config), "not asked")


def built(desk: GenerativeDesk) -> Release:
    """Train, certify, release."""
    student = desk.train()
    desk.certify(student)
    wanted = Wanted(
        student=student.student_id, out=desk.folder / "release", name="paint", with_data=True, reviewed_by="Somebody",
        licence="apache-2.0", data_licence="cc0-1.0",
    )  # fmt: skip
    build_release(desk.store, desk.settings, wanted, time.time_ns())
    return Release(desk.folder / "release", desk, student)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Of a model from random weights, trained by two workers."""
    desk = GenerativeDesk(tmp_path_factory.mktemp("scratch"), epochs=8, workers=2)
    yield built(desk)
    desk.close()


@pytest.fixture(scope="module")
def adapter(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Of an adapter on that model."""
    folder = tmp_path_factory.mktemp("adapted")
    base = folder / "models" / "painter"
    shutil.copytree(release.desk.store.data / release.student.path / "model", base)
    shutil.copyfile(LICENCE, base / "LICENSE")
    desk = GenerativeDesk(folder, model=ADAPTED, optimizer="adamw", rate=0.001, epochs=1, base="painter")
    yield built(desk)
    desk.close()


@pytest.fixture
def stranger(adapter: Release, tmp_path: Path) -> Path:
    """The configuration of an installation that has the adapter's base, and nothing else of it."""
    (tmp_path / "data").mkdir()
    shutil.copytree(adapter.desk.folder / "models", tmp_path / "models")
    config = tmp_path / "freehold.toml"
    config.write_text('data_dir = "data"\n[models]\nfolders = ["models"]\n', encoding="utf-8")
    return config


def checks(report: Report) -> list[str]:
    return [check.name for level in report.levels for check in level.checks]


def stopped(report: Report) -> tuple[int, bool | None, str]:
    """At which level, whether something was wrong (False) or missing (None), and what."""
    last = report.levels[-1].checks[-1]
    return report.levels[-1].level, last.passed, f"{last.sentence} {last.hint}"


def test_every_file_is_in_it_and_told_of(release: Release) -> None:
    told, manifest = read_inventory(release.folder)
    model = {file.path: file for file in manifest.files if file.path.startswith("model/")}
    source = release.desk.store.data / release.student.path
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    assert {path.removeprefix("model/") for path in model} == set(files)
    for name, path in files.items():
        assert model[f"model/{name}"].sha256 == sha256_of(path.read_bytes())
    weights, run = told.weights, told.training.run
    tensors = load((source / "model" / "model.safetensors").read_bytes())
    assert (weights.kind, weights.parameters) == ("generative", sum(tensor.size for tensor in tensors.values()))
    assert "Qwen3ForCausalLM" in weights.architecture and weights.base is None and not weights.adapter
    assert weights.tokenizer_sha256 == model["model/model/tokenizer.json"].sha256 and weights.template_sha256
    assert told.training.recipe["name"] == "toy" and told.training.same_code is True
    assert run is not None and run.environment["workers"] == "2" and "torch" in run.packages
    assert run.cpu_seconds > 0.5, "what the workers took counts"
    states = {(item.role, item.state) for item in told.items if item.path.startswith("model/")}
    assert {role for role, _ in states} == {"weights", "model-manifest", "gate", "tokenizer", "chat-template"}
    assert {state for _, state in states} == {"verified"}
    assert held(source, release.student.sha256).whole


def test_its_documents_keep_their_standards(release: Release, adapter: Release) -> None:
    for each in (release, adapter):
        done = CliRunner().invoke(release_command, ["validate", str(each.folder), "--json"])
        assert (done.exit_code, json.loads(done.output)["problems"]) == (0, []), done.output
    card = (adapter.folder / "README.md").read_text(encoding="utf-8")
    assert 'pipeline_tag: "text-generation"' in card and "answers only on painter" in card
    bom = json.loads((adapter.folder / "standards" / "cyclonedx.json").read_bytes())
    [base] = [part for part in bom["components"] if part["bom-ref"] == "base-model"]
    assert base["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert {part["name"] for part in base["components"]} >= {"model.safetensors", "tokenizer.json"}
    assert "base-model" in bom["dependencies"][0]["dependsOn"]
    assert '"descendantOf"' in (adapter.folder / "standards" / "spdx.json").read_text()
    shown = CliRunner().invoke(release_command, ["show", str(adapter.folder)])
    assert shown.exit_code == 0 and "It needs painter (apache-2.0)" in shown.output


def test_it_is_trained_again_to_the_same_bytes_in_a_process_that_reaches_nobody(
    release: Release, tmp_path: Path
) -> None:
    trap = 'raise SystemExit("code was run that nobody should run")\n'
    for name in ("msgspec.py", "freehold.py", "torch.py", "sitecustomize.py"):
        (tmp_path / name).write_text(trap)
    program = [sys.executable, "-I", "-m", "freehold.cli.main", "release", "verify", str(release.folder), "--json"]
    done = subprocess.run(
        [*program, "--key", release.key.public_key(), "--level", "4"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    assert report.reached == 4
    assert checks(report)[-6:] == ["seed", "tokenizer", "gate", "tune answers", "code", "weights"]
    assert "all 7 files are the same to the byte" in report.levels[4].checks[-1].sentence
    proven = {item.path for item in report.items if item.state == "verified"}
    assert {WEIGHTS, "model/tensors.safetensors", "model/model/tokenizer.json"} <= proven


def put_model(forged: Forged, changed: dict[str, bytes], **manifest: Any) -> None:
    """Other files of the student, and all that names them by hash."""
    body = json.loads(forged.read(inv.MODEL_MANIFEST)) | manifest
    for path, data in changed.items():
        forged.write(path, data)
        body["files"][path.removeprefix("model/")] = sha256_of(data)
    forged.write(inv.MODEL_MANIFEST, body)
    digest = sha256_of(forged.read(inv.MODEL_MANIFEST))
    forged.tell("weights", sha256=digest)
    [rung] = forged.inventory.evaluation.rungs
    forged.certify(rungs=(change(rung, sha256=digest, signal_sha256=digest),))


def test_other_weights_answer_otherwise_whoever_signs_them(release: Release, tmp_path: Path) -> None:
    forged = release.forged(tmp_path)
    tensors = load(forged.read(WEIGHTS))
    name = max(tensors, key=lambda name: tensors[name].size)
    put_model(forged, {WEIGHTS: save(tensors | {name: -tensors[name]})})
    report = release.verify(4, forged.seal())
    level, passed, why = stopped(report)
    assert (level, passed) == (1, False) and "answers otherwise than the release says" in why
    # Where it says that they were computed elsewhere, a few may be: not so many.
    forged.tell("evaluation", computed_on={"architecture": "other"})
    assert stopped(release.verify(1, forged.seal()))[1] is False


def test_a_recipe_that_gives_other_weights_is_found(adapter: Release, stranger: Path, tmp_path: Path) -> None:
    forged = adapter.forged(tmp_path)
    recipe = json.loads(forged.read(inv.MODEL_MANIFEST))["recipe"]
    recipe["run"]["epochs"] = 0.5
    put_model(forged, {}, recipe=recipe)
    level, passed, why = stopped(adapter.verify(4, forged.seal(), stranger))
    assert (level, passed) == (4, False) and "adapter/adapter_model.safetensors" in why and "came out otherwise" in why


def test_it_is_not_trained_again_where_it_would_come_out_otherwise(release: Release, tmp_path: Path) -> None:
    forged = release.forged(tmp_path)
    run = release.inventory.training.run
    assert run is not None
    other = change(run, environment={**run.environment, "ATEN_CPU_CAPABILITY": "NEON"})
    forged.tell("training", run=other)
    level, passed, why = stopped(release.verify(4, forged.seal()))
    assert (level, passed) == (4, None)
    assert "not trained again" in why and "ATEN_CPU_CAPABILITY: NEON, now" in why and "lock.txt" in why
    forged.tell("training", run=change(run, environment={}))
    assert "was not recorded" in stopped(release.verify(4, forged.seal()))[2]


def test_a_tokenizer_or_gate_that_does_not_follow_from_the_rows_is_found(release: Release, tmp_path: Path) -> None:
    forged = release.forged(tmp_path)
    config = json.loads(forged.read("model/model/tokenizer_config.json")) | {"model_max_length": 63}
    put_model(forged, {"model/model/tokenizer_config.json": json.dumps(config).encode()})
    level, passed, why = stopped(release.verify(3, forged.seal()))
    assert (level, passed) == (3, False) and "tokenizer_config.json came out otherwise" in why
    shutil.rmtree(forged.folder)
    again = release.forged(tmp_path)
    put_model(again, {}, output_tokens_per_character=9.0)
    level, passed, why = stopped(release.verify(3, again.seal()))
    assert (level, passed) == (3, False) and "rates of tokens came out otherwise" in why


def test_what_runs_code_or_is_not_installed_is_said_not_to_be_done(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = release.forged(tmp_path)
    forged.certify(scorer=described(SqlScorer(database="/etc/passwd")))
    level, passed, why = stopped(release.verify(1, forged.seal()))
    assert (level, passed) == (1, None) and "the outputs come out the same, but" in why and "--config" in why
    monkeypatch.setitem(sys.modules, "torch", None)
    level, passed, why = stopped(release.verify(1))
    assert (level, passed) == (1, None) and "torch" in why and "pip install 'freehold[train]'" in why
    wanted = Wanted(student=release.student.student_id, out=tmp_path / "out", name="x")
    with pytest.raises(ConfigError, match="cannot answer again"):
        build_release(release.desk.store, release.desk.settings, wanted, 1)


def test_a_student_whose_weights_were_changed_is_not_released(release: Release, tmp_path: Path) -> None:
    shutil.copytree(release.desk.store.data, tmp_path / "data")
    path = tmp_path / "data" / release.student.path / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    store = Store.open(tmp_path / "data", f"sqlite:///{tmp_path / 'data' / 'control.sqlite'}")
    wanted = Wanted(student=release.student.student_id, out=tmp_path / "out", name="x")
    with pytest.raises(StudentError, match=r"model\.safetensors is not the one that was certified"):
        build_release(store, release.desk.settings, wanted, 1)
    store.close()
    assert not held(path.parents[1], release.student.sha256).whole
    assert not (tmp_path / "out").exists()


def test_an_adapter_tells_of_its_base_and_needs_it(adapter: Release) -> None:
    told = adapter.inventory
    weights, base = told.weights, told.weights.base
    assert base is not None and weights.adapter and "rank 4" in weights.architecture
    assert (base.name, base.licence) == ("painter", "apache-2.0")
    folder = adapter.desk.folder / "models" / "painter"
    assert base.files["model.safetensors"] == sha256_of((folder / "model.safetensors").read_bytes())
    own = adapter.desk.store.data / adapter.student.path
    assert base_lacks(adapter.desk.store.data, own) == ""
    assert "without its base" in base_lacks(adapter.desk.folder / "elsewhere", own)
    assert (adapter.folder / "model" / "adapter" / "adapter_model.safetensors").is_file()
    assert not (adapter.folder / WEIGHTS).exists(), "the base is not given out"
    assert next((each.role, each.asset_id) for each in told.lineage.ancestors) == ("base", "painter")
    notice = (adapter.folder / "NOTICE").read_text(encoding="utf-8")
    assert "weights of painter (apache-2.0)" in notice and "licences/apache-2.0.txt" in notice


def test_an_adapter_is_verified_by_who_has_its_base(adapter: Release, stranger: Path) -> None:
    level, passed, why = stopped(adapter.verify(1))
    assert (level, passed) == (1, None) and "its base model painter" in why and "--config FILE" in why
    report = adapter.verify(3, config=stranger)
    assert report.reached == 3, report.why_not_more
    config = stranger.parent / "models" / "painter" / "config.json"
    config.write_text(config.read_text() + "\n")
    level, passed, why = stopped(adapter.verify(1, config=stranger))
    assert (level, passed) == (1, None) and "is not the one that the student was trained from" in why


def test_rights_of_the_base_are_looked_at(adapter: Release) -> None:
    desk = adapter.desk
    wanted = Wanted(student=adapter.student.student_id, out=desk.folder / "out", name="x")
    for licence in ("unknown", "cc-by-nc-4.0"):
        student = change(adapter.student, base_licence=licence)
        with pytest.raises(RightsError):
            clear(desk.store, desk.settings, student, desk.dataset, desk.samples, wanted)
