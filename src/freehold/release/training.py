"""The training and model parts of a release: weights, how they were made, by which code, on which machine, at what
cost."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold import __version__
from freehold.domain.evidence import Student
from freehold.domain.machines import TrainingRun
from freehold.release.inventory import (
    CODE,
    LOCK,
    MODEL_MANIFEST,
    MODEL_TENSORS,
    TRAINING,
    Costs,
    Role,
    Tensor,
    TrainingSection,
    Weights,
    canonical_json,
)
from freehold.release.layout import Content, Copied
from freehold.release.parts import Part, Wanted, item, told
from freehold.runners.machine import TRAINING_CODE, code_digest, code_files, code_hashes
from freehold.store.artifacts import MANIFEST, TENSORS, sha256_of
from freehold.upstreams.student.classifier import Manifest

_CODE_LICENCE = "Apache-2.0"
_CODE_ROLES: tuple[Role, ...] = (
    "training-code",
    "inference-code",
    "evaluation-code",
    "preprocessing-code",
    "architecture",
)
_ARCHITECTURE = (
    "Per field of the answer, two linear models over n-grams (words; characters), each the mean of five that were "
    "fitted to four fifths of the rows; then a logistic regression over the shape of their scores, which gives the "
    "signal."
)
_METHOD = (
    "Linear support vector machines (scikit-learn LinearSVC) on five folds, then a logistic regression on cross-fitted "
    "scores. One pass over the fit part of the dataset; rows to certify on are not used."
)
_PARAMETERS = frozenset(("idf", "weights", "bias", "log_counts", "second"))
"""Tensors that answers are computed from; `vocabulary` names the columns, and others are notes of the training."""
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_SAME_CODE = {
    True: "The code that trained it.",
    False: "Not the code that trained it: training/training.json has that one's hashes.",
    None: "What built the release; what trained it is unknown.",
}
_JOULES_PER_KWH = 3_600_000
_SECONDS_PER_HOUR = 3600


def model_part(
    student: Student, folder: Path, manifest: dict[str, Any], tensors: dict[str, NDArray[Any]], licence: str
) -> tuple[Weights, Part]:
    """The student's own files, as they are: `manifest` and `tensors` were read from `folder`, their hashes checked."""
    heads = msgspec.convert(manifest, Manifest).heads
    shapes = [Tensor(name, str(tensor.dtype), tensor.shape) for name, tensor in sorted(tensors.items())]
    weights = Weights(
        kind="classifier",
        architecture=_ARCHITECTURE,
        sha256=student.sha256,
        parameters=sum(int(np.prod(tensor.shape)) for tensor in shapes if tensor.name in _PARAMETERS),
        tensors=tuple(shapes),
        fields=tuple("/".join(head.path) for head in heads),
        labels=sum(len(head.values) for head in heads),
    )
    files: dict[str, Content] = {
        MODEL_MANIFEST: Copied(folder / MANIFEST, student.sha256),
        MODEL_TENSORS: Copied(folder / TENSORS, manifest["files"][TENSORS]),
    }
    items = (
        item(MODEL_TENSORS, "weights", "verified", licence, "model/manifest.json names its hash."),
        item(MODEL_MANIFEST, "model-manifest", "verified", licence, "The certificate names its hash. Labels, style."),
        item(MODEL_TENSORS, "tokenizer", "verified", licence, "Texts are cut into the n-grams of `vocabulary`."),
        told("chat-template", "None: it reads the text of the request."),
        told("base-model", "None: it was trained from nothing."),
        told("checkpoint", "No weights of single folds; what the stages hand on is in the tensors `checkpoint_*`."),
    )
    return weights, Part(files, items)


def training_part(student: Student, seed: int, wanted: Wanted) -> tuple[TrainingSection, Costs, Part]:
    """Section, costs and files."""
    run = student.training
    code = code_files()
    hashes = {name: sha256_of(data) for name, data in code.items()}
    section = TrainingSection(
        method=_METHOD,
        seed=seed,
        seeds={"folds: numpy.random.default_rng": seed, "linear models: LinearSVC(random_state)": seed},
        run=run,
        software=f"freehold {__version__}",
        code_sha256=code_digest(hashes),
        same_code=None if run is None else run.code == code_hashes(TRAINING_CODE),
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
