"""A real release is verified to the last level; each defect that is put in is found at its level, whoever signs it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forging import Forged, change
from loop_fixtures import Desk
from safetensors.numpy import load

from freehold.domain.evidence import Certificate, Dataset
from freehold.loop.release_jobs import workshop_for
from freehold.release import inventory as inv
from freehold.release.build import build_release
from freehold.release.parts import Wanted
from freehold.release.verify import Report, verify_release
from freehold.store.keys import SigningKey


class Release(NamedTuple):
    """A release, and the key that signed it."""

    folder: Path
    key: SigningKey
    config: Path

    def verify(self, level: int, folder: Path | None = None, config: Path | None = None) -> Report:
        public_key = self.key.public_key()
        return verify_release(
            folder or self.folder, public_key, level, lambda kind: workshop_for(kind, config), "not asked"
        )


def _config(desk: Desk, path: Path) -> Path:
    loop = desk.settings.loop
    path.write_text(
        f'data_dir = "{desk.settings.data}"\n[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\nterms = "own"\n'
        f"[loop]\nepsilon = {loop.epsilon}\ndelta = {loop.delta}\nmin_samples = {loop.min_samples}\n"
        f"growth = {loop.growth}\n"
    )
    return path


def _built(desk: Desk, folder: Path, *, with_data: bool) -> Release:
    assert desk.rung is not None
    reviewer = "Somebody" if with_data else ""
    wanted = Wanted(
        student=desk.rung.student, out=folder / "release", name="desk", with_data=with_data, reviewed_by=reviewer
    )
    build_release(desk.store, desk.settings, wanted, time.time_ns())
    return Release(folder / "release", desk.store.keys, _config(desk, folder / "freehold.toml"))


@pytest.fixture(scope="module")
def release(owned_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """With its rows."""
    return _built(owned_desk, tmp_path_factory.mktemp("with"), with_data=True)


@pytest.fixture(scope="module")
def closed(owned_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """With the hashes of its rows only."""
    return _built(owned_desk, tmp_path_factory.mktemp("without"), with_data=False)


def command(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", "-m", "freehold.cli.main", "release", "verify", *map(str, arguments)]
    return subprocess.run(
        program, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )


def test_a_classical_student_is_trained_again_to_the_same_bytes_in_a_process_that_reaches_nobody(
    release: Release, tmp_path: Path
) -> None:
    # Whatever lies about where it is started, or in the environment, is not imported.
    trap = 'raise SystemExit("code was run that nobody should run")\n'
    for name in ("msgspec.py", "freehold.py", "sitecustomize.py"):
        (tmp_path / name).write_text(trap)
    done = command(
        release.folder, "--key", release.key.public_key(), "--level", 4, "--json", cwd=tmp_path,
        COLUMNS="200", PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    assert report.reached == report.asked == 4 and not report.why_not_more and not report.failed
    assert [check.name for level in report.levels for check in level.checks] == [
        "signature", "files", "inventory",
        "certificate", "tolerance", "items", "decisions", "walk", "figures", "answers",
        "record", "rows", "pipeline",
        "seed", "second stage", "fold 1",
        "code", "weights",
    ]  # fmt: skip
    assert "network namespace of its own" in report.network or "refused by Python" in report.network
    found = {(item.role, item.state) for item in report.items}
    assert {("weights", "verified"), ("dataset", "verified"), ("notice", "present")} <= found
    assert ("chat-template", "declared") in found, "what is not there was not verified, whatever is told"


def test_every_byte_of_the_real_release_is_covered(release: Release, tmp_path: Path) -> None:
    """Every offset is tried by bench/release.py; here a sample of each file, through all of level 0."""
    folder = shutil.copytree(release.folder, tmp_path / "copy")
    rng = np.random.default_rng(1)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for place in {0, len(whole) - 1, *rng.integers(0, len(whole), 6).tolist()}:
            with path.open("r+b") as file:
                os.pwrite(file.fileno(), bytes([whole[place] ^ 1]), place)
                report = release.verify(0, folder)
                assert report.reached == -1 and len(report.failed) == 1, (path, place)
                os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert release.verify(0, folder).reached == 0


def _drop(forged: Forged, part: str) -> list[Any]:
    samples = forged.samples
    samples.remove(next(sample for sample in samples if sample.part == part))
    return samples


def _two(forged: Forged) -> list[Any]:
    """Two fit rows that are labelled differently, swapped."""
    samples = forged.samples
    fit = [place for place, sample in enumerate(samples) if sample.part == "fit"]
    other = next(place for place in fit if samples[place].answer != samples[fit[0]].answer)
    samples[fit[0]], samples[other] = samples[other], samples[fit[0]]
    return samples


def _relabelled(forged: Forged) -> list[Any]:
    """Every third fit row with another row's answer."""
    samples = forged.samples
    labels = sorted({sample.answer for sample in samples})
    for place in range(0, len(samples), 3):
        if samples[place].part == "fit":
            other = labels[(labels.index(samples[place].answer) + 1) % len(labels)]
            samples[place] = change(samples[place], answer=other)
    return samples


def _without_losses(forged: Forged) -> bytes:
    buffer = io.BytesIO()
    frame = pl.read_parquet(io.BytesIO(forged.read(inv.EVIDENCE_ROWS)))
    frame.with_columns(loss_0=pl.lit(0.0)).write_parquet(buffer)
    return buffer.getvalue()


def _no_losses_anywhere(forged: Forged) -> None:
    """Evidence, certificate and items agree that the student never errs; and every figure is computed from that."""
    from freehold.evaluate import conclude
    from freehold.store.evidence import parse_evidence

    forged.certify(rows=_without_losses(forged))
    forged.put_items([change(item, loss=0.0) for item in forged.items])
    certificate = forged.of(inv.CERTIFICATE, Certificate)
    read = parse_evidence("e", certificate.evidence_sha256, lambda name: forged.read(f"evaluation/{name}"))
    found = conclude(*read)
    assert found.figures is not None
    forged.certify(tested=found.tested, **found.figures._asdict())


def _seed(forged: Forged) -> None:
    seeds = dict.fromkeys(forged.inventory.training.seeds, 7)
    forged.tell("training", seed=7, seeds=seeds)
    forged.put_model(seed=7)


def _tensor(forged: Forged, name: str) -> dict[str, Any]:
    tensor = load(forged.read(inv.MODEL_TENSORS))[name].copy()
    tensor.flat[0] = np.nextafter(tensor.flat[0], tensor.dtype.type(np.inf))
    return {name: tensor}


def _checkpoint(forged: Forged) -> dict[str, Any]:
    shapes = load(forged.read(inv.MODEL_TENSORS))["checkpoint_shapes"].copy()
    shapes[::2] += 0.25
    return {"checkpoint_shapes": shapes}


def _heads(forged: Forged) -> list[Any]:
    heads = json.loads(forged.read(inv.MODEL_MANIFEST))["heads"]
    return [{**head, "values": head["values"][::-1]} for head in heads]


def _style(forged: Forged) -> dict[str, Any]:
    return {**json.loads(forged.read(inv.MODEL_MANIFEST))["style"], "suffix": "!"}


def _tolerant(forged: Forged) -> None:
    laxer = inv.Tolerance(signal=0.5)
    forged.write(inv.TOLERANCE, laxer)
    forged.tell("evaluation", tolerance=laxer)


def _edited_item(forged: Forged) -> None:
    wrong = next(place for place, item in enumerate(forged.items) if item.loss)
    items = forged.items
    items[wrong] = change(items[wrong], loss=0.0)
    forged.put_items(items)


def _edited_output(forged: Forged) -> None:
    items = forged.items
    items[3] = change(items[3], output=items[3].output + " ")
    forged.put_items(items)


def _other_student(forged: Forged) -> None:
    rungs = forged.of(inv.CERTIFICATE, Certificate).rungs
    forged.certify(rungs=tuple(change(rung, sha256="0" * 64) for rung in rungs))


def _flattered(forged: Forged) -> None:
    forged.certify(loss_upper=0.001)


def _unsigned(forged: Forged) -> None:
    certificate = forged.of(inv.CERTIFICATE, Certificate)
    forged.write(inv.CERTIFICATE, change(certificate, certificate_id="ce_other"))
    forged.tell("evaluation", certificate_id="ce_other")


def _bomb(forged: Forged) -> None:
    forged.put_rows([*forged.samples, *forged.samples])


def _pipeline(forged: Forged) -> None:
    forged.write(inv.PIPELINE, b'[{"step":"sample"}]')


def _two_datasets(forged: Forged) -> None:
    forged.write(inv.DATASET, change(forged.of(inv.DATASET, Dataset), sha256="0" * 64))


DEFECTS: dict[str, tuple[Callable[[Forged], Any], int, str]] = {
    "score edited": (_edited_item, 1, "items"),
    "output edited": (_edited_output, 1, "answers"),
    "losses gone from the evidence": (lambda f: f.certify(rows=_without_losses(f)), 1, "items"),
    "losses gone everywhere, figures made to fit": (_no_losses_anywhere, 1, "answers"),
    "certificate of another student": (_other_student, 1, "certificate"),
    "certificate with a better figure": (_flattered, 1, "figures"),
    "certificate not signed": (_unsigned, 1, "certificate"),
    "other tolerance": (_tolerant, 1, "tolerance"),
    "labels changed": (lambda f: f.put_model(heads=_heads(f)), 1, "answers"),
    "template changed": (lambda f: f.put_model(style=_style(f)), 1, "answers"),
    "certify row missing": (lambda f: f.put_rows(_drop(f, "certify")), 1, "answers"),
    "fit row missing": (lambda f: f.put_rows(_drop(f, "fit")), 2, "rows"),
    "rows reordered": (lambda f: f.put_rows(_two(f)), 2, "rows"),
    "answers of rows changed": (lambda f: f.put_rows(_relabelled(f)), 2, "rows"),
    "more rows than there are": (_bomb, 1, "answers"),
    "other pipeline": (_pipeline, 2, "pipeline"),
    "record of another dataset": (_two_datasets, 2, "record"),
    "fit row missing, all made to fit": (lambda f: f.put_dataset(_drop(f, "fit")), 3, "fold 1"),
    "rows reordered, all made to fit": (lambda f: f.put_dataset(_two(f)), 3, "fold 1"),
    "answers changed, all made to fit": (lambda f: f.put_dataset(_relabelled(f)), 3, "fold 1"),
    "other seed": (_seed, 3, "fold 1"),
    "second stage changed": (lambda f: f.put_model(tensors=_tensor(f, "fit_signals")), 3, "second stage"),
    "checkpoint changed": (lambda f: f.put_model(tensors=_checkpoint(f)), 3, "second stage"),
    "weights not those of the training": (lambda f: f.put_model(tensors=_tensor(f, "tune_signals")), 4, "weights"),
    "manifest with another word": (lambda f: f.put_model(task="task_other"), 4, "weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_at_its_level_though_the_right_key_signs_it(
    release: Release, tmp_path: Path, name: str
) -> None:
    spoil, level, check = DEFECTS[name]
    forged = Forged(release.folder, tmp_path / "forged", release.key)
    spoil(forged)
    report = release.verify(4, forged.seal())
    assert [failed.name for failed in report.failed] == [check], report.why_not_more
    assert report.failed[0].hint and report.reached == level - 1, report.why_not_more
    assert report.failed[0].sentence in report.why_not_more


def test_what_an_attacker_signs_is_not_looked_at(release: Release, tmp_path: Path) -> None:
    forged = Forged(release.folder, tmp_path / "forged", release.key)
    _edited_item(forged)
    forged.seal(SigningKey(Ed25519PrivateKey.generate()))
    report = release.verify(4, forged.folder)
    assert report.reached == -1 and [check.name for check in report.failed] == ["signature"] and not report.items
    done = command(forged.folder, "--key", release.key.public_key(), cwd=tmp_path)
    assert done.returncode == 9 and "by another key" in done.stderr and "Not verified" in done.stderr


def test_without_rows_the_installation_is_asked_and_else_level_0_is_all(
    closed: Release, owned_desk: Desk, tmp_path: Path
) -> None:
    report = closed.verify(4)
    assert report.reached == 0 and not report.failed
    assert "Nobody asked for them" in report.why_not_more and "--config" in report.hint
    done = command(closed.folder, "--key", closed.key.public_key(), cwd=tmp_path)
    assert done.returncode == 5 and "Level 0 of 4 reached; 1 was asked for" in done.stderr
    whole = command(
        closed.folder, "--key", closed.key.public_key(), "--level", 2, "--config", closed.config, "--json", cwd=tmp_path
    )
    assert whole.returncode == 0, whole.stdout + whole.stderr
    last = msgspec.json.decode(whole.stdout, type=Report).levels[-1]
    assert [check.name for check in last.checks] == ["record", "pipeline", "traffic"]
    assert "the same 900 rows in the same order" in last.checks[-1].sentence


def test_on_another_machine_outputs_are_compared_and_level_4_is_not_claimed(release: Release, tmp_path: Path) -> None:
    forged = Forged(release.folder, tmp_path / "forged", release.key)
    run = forged.inventory.training.run
    assert run is not None
    there = change(run, machine=change(run.machine, cpu="Another", flags=("avx512f",)), packages={"numpy": "0.1"})
    forged.tell("training", run=there)
    report = release.verify(4, forged.seal())
    assert report.reached == 3 and not report.failed
    assert "the bytes came out the same, but this is another kind of machine" in report.why_not_more
    assert "flags" in report.why_not_more and "numpy" in report.why_not_more
    forged.put_model(tensors=_tensor(forged, "tune_signals"))
    report = release.verify(4, forged.seal())
    assert report.reached == 3 and not report.failed
    assert "Of 265 certify rows the two students answer 265 the same" in report.why_not_more
    forged.tell("training", run=None, same_code=None)
    assert "on what it was trained is unknown" in release.verify(4, forged.seal()).why_not_more


def test_a_student_without_a_checkpoint_does_not_reach_level_3(release: Release, tmp_path: Path) -> None:
    forged = Forged(release.folder, tmp_path / "forged", release.key)
    forged.put_model(without="checkpoint_")
    report = release.verify(4, forged.seal())
    assert report.reached == 2 and not report.failed and "has no checkpoint" in report.why_not_more


def test_bad_input_is_refused_with_what_is_wrong(release: Release, tmp_path: Path) -> None:
    key = release.key.public_key()
    without = command(release.folder, cwd=tmp_path)
    assert without.returncode == 2 and key in without.stderr and "proves nothing" in without.stderr
    for arguments, code, said in (
        ((tmp_path / "nowhere", "--key", key), 9, "cannot be opened"),
        ((release.folder, "--key", "12"), 2, "key file '12' cannot be read"),
        ((release.folder, "--key", key, "--level", 5), 2, "5"),
        ((release.folder, "--key", key, "--level", 2, "--config", tmp_path / "no.toml"), 2, "no.toml"),
    ):
        done = command(*arguments, cwd=tmp_path)
        assert done.returncode == code and said in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
