"""The training part of a release: how the weights were made, by which code, on which machine, at what cost."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import msgspec

from freehold import __version__
from freehold.domain.errors import StudentError
from freehold.domain.evidence import Student
from freehold.domain.machines import TrainingRun
from freehold.release.inventory import (
    CODE,
    LOCK,
    TRAINING,
    Costs,
    Role,
    TrainingSection,
    canonical_json,
)
from freehold.release.layout import Content
from freehold.release.models import public_name
from freehold.release.parts import Part, Wanted, item, told
from freehold.runners.machine import CODE_OF, code_digest, code_files, code_hashes
from freehold.serving.folder import GenerativeManifest
from freehold.store.artifacts import sha256_of

_CODE_LICENCE = "Apache-2.0"
_CODE_ROLES: tuple[Role, ...] = (
    "training-code",
    "inference-code",
    "evaluation-code",
    "preprocessing-code",
    "architecture",
)
_METHOD = (
    "Linear support vector machines (scikit-learn LinearSVC) on five folds, then a logistic regression on cross-fitted "
    "scores. One pass over the fit part of the dataset; rows to certify on are not used."
)
_DRAWN = (
    "weights and order of rows: torch.manual_seed, per step",
    "noise in the rows: freehold.train.generative.augment",
)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_SAME_CODE = {
    True: "The code that trained it.",
    False: "Not the code that trained it: training/training.json has that one's hashes.",
    None: "What built the release; what trained it is unknown.",
}
_JOULES_PER_KWH = 3_600_000
_SECONDS_PER_HOUR = 3600


def training_part(student: Student, manifest: Mapping[str, Any], wanted: Wanted) -> tuple[TrainingSection, Costs, Part]:
    """Section, costs and files; `manifest`: the student's own.

    Raises:
        StudentError: a generative student's recipe cannot be understood.
    """
    run, seed = student.training, int(manifest["seed"])
    method, seeds, recipe = _told(student, manifest, seed)
    code = code_files()
    hashes = {name: sha256_of(data) for name, data in code.items()}
    section = TrainingSection(
        method=method,
        seed=seed,
        seeds=seeds,
        run=run,
        software=f"freehold {__version__}",
        code_sha256=code_digest(hashes),
        same_code=None if run is None else run.code == code_hashes(CODE_OF[student.kind]),
        recipe=recipe,
    )
    costs = _costs(run, wanted)
    files: dict[str, Content] = {TRAINING: canonical_json({"training": section, "costs": costs}), CODE: _zipped(code)}
    source = "Recorded while it was trained." if run else "Unknown: it was trained before such records were kept."
    items = [item(TRAINING, "training-record", "present" if run else "declared", wanted.licence, source)]
    if run is None:
        items.append(told("lock", source))
    else:
        files[LOCK] = _lock(run)
        items.append(item(LOCK, "lock", "present", wanted.licence, source))
    for role in _CODE_ROLES:
        known = section.same_code and role == "training-code"
        note = _SAME_CODE[section.same_code] if role == "training-code" else "The package that built the release."
        items.append(item(CODE, role, "verified" if known else "present", _CODE_LICENCE, note))
    return section, costs, Part(files, tuple(items))


def _told(student: Student, manifest: Mapping[str, Any], seed: int) -> tuple[str, dict[str, int], dict[str, Any]]:
    """Method, what is drawn by which seed, and the recipe."""
    if student.kind == "classifier":
        return _METHOD, {"folds: numpy.random.default_rng": seed, "linear models: LinearSVC(random_state)": seed}, {}
    known = msgspec.convert(manifest, GenerativeManifest)
    return _how(known, student.parent), dict.fromkeys(_DRAWN, seed), known.recipe


class _Part(msgspec.Struct):
    """Of a table of a recipe, what a sentence tells."""

    kind: str = ""
    rank: int = 0
    epochs: float = 0.0


class _Recipe(msgspec.Struct):
    """Of a recipe (`freehold.train.recipes`), what a sentence tells."""

    name: str
    method: str
    optimizer: _Part
    run: _Part
    adapter: _Part | None = None


def _how(known: GenerativeManifest, parent: str) -> str:
    try:
        recipe = msgspec.convert(known.recipe, _Recipe)
    except msgspec.ValidationError as error:
        raise StudentError(
            f"The student's recipe cannot be understood: {error}.", "Use the version of Freehold that trained it."
        ) from error
    start = "random weights, with a tokenizer of its own"
    if known.base is not None:
        start = f"the weights of {public_name(known.base.name)}"
    what = "full weights" if recipe.adapter is None else f"a LoRA adapter of rank {recipe.adapter.rank}"
    aim = "to write the recorded answers" if recipe.method == "sft" else "to prefer one of two answers (DPO)"
    return (
        f"Supervised: {what} learned {aim}, from {start}, by {recipe.optimizer.kind} over at most "
        f"{recipe.run.epochs:g} passes over the fit part (recipe {recipe.name!r}); the weights that were best on the "
        "tune part were kept. Rows to certify on are not used."
        + (f" It went on from the student {parent}, whose rows are not in this release." if parent else "")
    )


def _costs(run: TrainingRun | None, wanted: Wanted) -> Costs:
    seconds = None if run is None else run.cpu_seconds
    return Costs(
        cpu_seconds=seconds,
        watts_per_core=wanted.watts,
        dollars_per_core_hour=wanted.dollars,
        kilowatt_hours=None if seconds is None else seconds * wanted.watts / _JOULES_PER_KWH,
        dollars=None if seconds is None else seconds / _SECONDS_PER_HOUR * wanted.dollars,
    )


def _lock(run: TrainingRun) -> bytes:
    lines = [f"# {run.machine.python} on {run.machine.system} {run.machine.architecture}"]
    lines += [f"{name}=={version}" for name, version in sorted(run.packages.items())]
    return ("\n".join(lines) + "\n").encode()


def _zipped(files: dict[str, bytes]) -> bytes:
    """The same files give the same bytes, with the same zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(f"freehold/{name}", _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()
