"""What a training process is told, and what it leaves behind: files in a student's `run/` folder. No torch in here.

spec.json           `Spec`: the recipe, the seed, where to start, and the hash of the data
fit.safetensors, tune.safetensors   the examples as tokens; or pairs.safetensors, of preferences
checkpoint.safetensors   where the run has got to
progress.json       `Progress`, replaced as the run goes on
result.json         `Fit`, once it is over
failure.json        or what went wrong
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import TrainingError
from freehold.store.folders import sync_folder
from freehold.train.generative.encode import Encoded
from freehold.train.generative.encode import EncodedPair as Pair
from freehold.train.generative.pack import read_encoded, write_encoded
from freehold.train.recipes import Recipe

SPEC = "spec.json"
PAIRS = "pairs.safetensors"
CHECKPOINT = "checkpoint.safetensors"
PROGRESS = "progress.json"
RESULT = "result.json"
FAILURE = "failure.json"
"""Beside them `worker-N.log`: what each process said."""

_canonical = msgspec.json.Encoder(order="sorted")
T = TypeVar("T")


class ScratchStart(msgspec.Struct, frozen=True, kw_only=True, tag="scratch", tag_field="from"):
    """Random weights, of the shape that the recipe says, for a tokenizer of so many pieces."""

    vocabulary: int
    pad: int
    end: int


class BaseStart(msgspec.Struct, frozen=True, kw_only=True, tag="base", tag_field="from"):
    """The weights in a Hugging Face folder."""

    folder: str
    adapter: str = ""
    """The folder of a LoRA adapter on it to go on with; empty: a new one, where the recipe wants one."""


Start = ScratchStart | BaseStart


class Fit(NamedTuple):
    """How a run ended."""

    steps: int
    epochs: float
    fit_loss: float
    """Mean over the target tokens of the last epoch."""
    tune_loss: float | None
    """Of the weights that were kept, without the worst rows; None where there are no tune rows."""
    tokens: int
    seconds: float
    cpu_seconds: float
    kilowatt_hours: float
    stopped: Literal["epochs", "early"]
    environment: dict[str, str]
    """What the bytes depend on beside data, recipe and seed."""
    sha256: str
    """Of the safetensors written."""
    parameters: int
    """Of the whole model."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run depends on; two runs of the same spec are one."""

    version: int = 1
    recipe: Recipe
    seed: int
    start: Start
    data_sha256: str


class Failure(msgspec.Struct, frozen=True):
    """Why a worker gave up."""

    message: str
    hint: str


def write_examples(run: Path, parts: dict[str, Sequence[Encoded]]) -> str:
    """Write the examples of each part (`fit`, `tune`); returns a hash of them all."""
    digest = hashlib.sha256()
    for name, examples in parts.items():
        path = run / f"{name}.safetensors"
        try:
            write_encoded(path, examples)
        except OSError as error:
            raise disk_error(path, error) from error
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_examples(run: Path, part: str) -> list[Encoded]:
    """What `write_examples` wrote of one part."""
    return read_encoded(run / f"{part}.safetensors")


def write_pairs(run: Path, parts: dict[str, Sequence[Pair]]) -> str:
    """Write the preference pairs of each part; returns the SHA-256 of the file."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for name, pairs in parts.items():
        for field in Pair._fields:
            values: list[NDArray[np.int32]] = [getattr(pair, field) for pair in pairs]
            tensors[f"{name}.{field}.lengths"] = np.array([len(value) for value in values], np.int64)
            tensors[f"{name}.{field}"] = _joined(values, np.int32)
    data = save(tensors)
    write_bytes(run / PAIRS, data)
    return hashlib.sha256(data).hexdigest()


def read_pairs(run: Path, part: str) -> list[Pair]:
    """What `write_pairs` wrote of one part."""
    from safetensors.numpy import load

    tensors = load((run / PAIRS).read_bytes())
    if not tensors[f"{part}.prompt.lengths"].size:
        return []
    columns = [
        np.split(tensors[f"{part}.{field}"], np.cumsum(tensors[f"{part}.{field}.lengths"])[:-1])
        for field in Pair._fields
    ]
    return [Pair(*three) for three in zip(*columns, strict=True)]


def write_json(path: Path, value: object) -> None:
    """Write a value as canonical JSON, whole or not at all.

    Raises:
        TrainingError: the disk is full, or cannot be written.
    """
    write_bytes(path, _canonical.encode(value))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_json`, of bytes."""
    draft = path.with_name(path.name + ".draft")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def read_json(path: Path, kind: type[T]) -> T | None:
    """What was written, or None where nothing, or something else, is there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def disk_error(path: Path, error: Exception) -> TrainingError:
    """For a file of a run that could not be written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TrainingError(
        f"{path} cannot be written: {reason}.",
        "Make room on the disk and run it again: it goes on from its last checkpoint.",
    )


def _joined(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)
