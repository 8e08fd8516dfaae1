"""Files that must be exactly what was certified: folders of students and routers, and datasets. Hashed when written
and when read.

Nothing here is ever unpickled: tensors are safetensors, the rest is JSON and Parquet.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.errors import Conflict, StoreError, StudentError
from freehold.domain.evidence import Sample
from freehold.domain.ids import new_id
from freehold.store.folders import sync_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
TENSORS = "tensors.safetensors"
SAMPLES = "samples.parquet"
LEFT_OUT = "left_out.parquet"
"""Beside a dataset's samples: `row`, `part`, `step`, `reason` of each row that rights, a recall or a step left out."""

_canonical = msgspec.json.Encoder(order="sorted")
_packer = msgspec.msgpack.Encoder()


def write_student(folder: Path, manifest: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    """Write a student's folder, whole or not at all; returns the SHA-256 of its manifest, which names every file's.

    Raises:
        Conflict: the folder exists and holds something else.
        StoreError: it cannot be written.
    """
    files = student_files(manifest, tensors)
    write_folder(folder, files, MANIFEST)
    return sha256_of(files[MANIFEST])


def student_files(manifest: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> dict[str, bytes]:
    """What a student's folder holds, by name: its tensors, and its manifest, which names their hash."""
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes memory as it lies there, whatever the strides: a transposed array would come back wrong.
    data = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    return {TENSORS: data, MANIFEST: _canonical.encode({**manifest, "files": {TENSORS: sha256_of(data)}})}


def read_student(folder: Path, expected_sha256: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The manifest and tensors of a student, every byte of them checked against `expected_sha256` (of its manifest).

    The weights of a generative student are other files: see `check_files`.

    Raises:
        StudentError: a file is missing or not the one that was certified; the message names it.
    """
    return _read_model(folder, expected_sha256, "student")


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Hash every file that a student's manifest names, without loading any.

    Raises:
        StudentError: one is missing, or not the one that was certified; the message names it.
    """
    for name, digest in _files_of(folder, manifest, "student").items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise StudentError(
                f"The student's file {folder / name} cannot be read: {error.strerror}.", _RETRAIN
            ) from error
        if found != digest:
            raise StudentError(
                f"The student's file {folder / name} is not the one that was certified (its hash differs).", _RETRAIN
            )


def adopt_student(folder: Path, made: Path, manifest: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    """Make a student's folder of the files below `made`, which goes, and of `tensors`; returns its manifest's SHA-256.

    Weights are hashed where they lie and moved: they may be larger than memory.

    Raises:
        Conflict: the folder exists and holds something else.
        StoreError: it cannot be written.
    """
    tensor_bytes = student_files({}, tensors)[TENSORS]
    try:
        (made / TENSORS).write_bytes(tensor_bytes)
        paths = sorted(path for path in made.rglob("*") if path.is_file())
        files: dict[str, str] = {}
        for path in paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            files[path.relative_to(made).as_posix()] = file_sha256(path)
        body = _canonical.encode({**manifest, "files": files})
        (made / MANIFEST).write_bytes(body)
        sync_folder(made)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            made.rename(folder)
            sync_folder(folder.parent)
        elif (folder / MANIFEST).read_bytes() != body:
            raise Conflict(f"{folder} exists and holds something else.", "Write to a new folder.")
        shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.", "Check the folder and the disk.") from error
    return sha256_of(body)


def write_router(folder: Path, manifest: msgspec.Struct, tensors: dict[str, NDArray[Any]]) -> str:
    """Write a router's folder (`freehold.signals.router.RouterManifest`), as `write_student` does a student's."""
    return write_student(folder, msgspec.to_builtins(manifest), tensors)


def read_router(folder: Path, expected_sha256: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The manifest and tensors of a router, for `freehold.signals.router.build_router`; see `read_student`."""
    return _read_model(folder, expected_sha256, "router")


def _read_model(folder: Path, expected_sha256: str, what: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    body = _read_checked(folder / MANIFEST, expected_sha256, what)
    try:
        manifest = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise StudentError(f"{folder / MANIFEST} is not a {what}'s manifest: {error}.", _RETRAIN) from error
    files = _files_of(folder, manifest, what)
    contents = {name: _read_checked(folder / name, digest, what) for name, digest in files.items() if "/" not in name}
    return manifest, _load_tensors(folder / TENSORS, contents[TENSORS])


def _files_of(folder: Path, manifest: Mapping[str, Any], what: str) -> dict[str, str]:
    """Name → SHA-256 of the files that a manifest names: of its folder, or of one folder in it."""
    try:
        files = msgspec.convert(manifest.get("files"), dict[str, str])
    except msgspec.ValidationError as error:
        raise StudentError(f"{folder / MANIFEST} is not a {what}'s manifest: {error}.", _RETRAIN) from error
    if TENSORS not in files:
        raise StudentError(f"{folder / MANIFEST} names no {TENSORS}.", _RETRAIN)
    for name in files:
        parts = name.split("/")
        if (
            not name.isprintable()
            or len(parts) > 2
            or any(part in ("", ".", "..") or Path(part).name != part for part in parts)
        ):
            raise StudentError(f"{folder / MANIFEST} names {name!r}, which is no file of its folder.", _RETRAIN)
    return files


def write_dataset(folder: Path, samples: list[Sample], beside: Mapping[str, bytes] | None = None) -> str:
    """Write `samples` in order as Parquet, and files `beside` them, whole or not at all; returns the samples' SHA-256
    (see `dataset_sha256`).

    Raises:
        Conflict: the folder exists and holds another file.
        StoreError: it cannot be written.
    """
    import io

    import polars as pl

    known: dict[Any, Any] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
    types = {field.name: known.get(field.type, pl.String) for field in msgspec.structs.fields(Sample)}
    columns = {name: [getattr(sample, name) for sample in samples] for name in types}
    buffer = io.BytesIO()
    pl.DataFrame(columns, schema=types).write_parquet(buffer, compression="zstd")
    write_folder(folder, {**(beside or {}), SAMPLES: buffer.getvalue()}, SAMPLES)
    return dataset_sha256(samples)


def read_dataset(folder: Path, expected_sha256: str) -> list[Sample]:
    """The samples in order, checked against `expected_sha256`.

    Raises:
        StoreError: the file is missing, cannot be read, or holds other rows than were written.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    path = folder / SAMPLES
    try:
        rows = pl.read_parquet(path).rows(named=True)
        samples = msgspec.convert(rows, list[Sample])
    except (OSError, PolarsError, msgspec.ValidationError) as error:
        raise StoreError(f"The dataset {path} cannot be read: {error}.", _REBUILD) from error
    if dataset_sha256(samples) != expected_sha256:
        raise StoreError(f"The dataset {path} is not the one that was written: its rows have changed.", _REBUILD)
    return samples


def dataset_file_sha256(folder: Path) -> str:
    """SHA-256 of the bytes of a dataset's file, which may change while its rows stay the same.

    Raises:
        StoreError: the file is missing or cannot be read.
    """
    try:
        return sha256_of((folder / SAMPLES).read_bytes())
    except OSError as error:
        raise StoreError(f"The dataset {folder / SAMPLES} cannot be read: {error.strerror}.", _REBUILD) from error


def dataset_sha256(samples: list[Sample]) -> str:
    """SHA-256 over the samples in order, each as the MessagePack array of its fields in order of declaration.

    Fields with defaults that no sample differs from at the end of the array are left out: so a dataset that was written
    before there were such fields keeps its hash.
    """
    digest = hashlib.sha256()
    for row in _encoded(samples):
        digest.update(row)
    return digest.hexdigest()


def row_sha256s(samples: list[Sample]) -> list[str]:
    """SHA-256 of each sample in order: of the same bytes as `dataset_sha256` takes it by."""
    return [sha256_of(row) for row in _encoded(samples)]


def _encoded(samples: list[Sample]) -> Iterator[bytes]:
    defaults = tuple(field.default for field in msgspec.structs.fields(Sample))
    rows = [msgspec.structs.astuple(sample) for sample in samples]
    length = max((_length(row, defaults) for row in rows), default=0)
    return (_packer.encode(row[:length]) for row in rows)


def _length(row: tuple[Any, ...], defaults: tuple[Any, ...]) -> int:
    """Of a row without the defaults at its end."""
    length = len(row)
    while length and row[length - 1] == defaults[length - 1]:
        length -= 1
    return length


_RETRAIN = "Put the folder back from a backup, or train the task again; until then the incumbent answers."
_REBUILD = "Put it back from a backup, or let the loop build a new dataset."


def _load_tensors(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, ValueError) as error:
        raise StudentError(f"{path} is not a safetensors file: {error}.", _RETRAIN) from error


def _read_checked(path: Path, expected_sha256: str, what: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudentError(f"The {what}'s file {path} cannot be read: {error.strerror}.", _RETRAIN) from error
    if sha256_of(data) != expected_sha256:
        raise StudentError(f"The {what}'s file {path} is not the one that was certified (its hash differs).", _RETRAIN)
    return data


def write_folder(folder: Path, files: dict[str, bytes], identity: str) -> None:
    """Write `files` into a new `folder` by way of a draft beside it; a folder whose `identity` is the same may stay.

    Raises:
        Conflict: the folder exists and its `identity` is another.
        StoreError: it cannot be written.
    """
    draft = folder.with_name(f".{folder.name}.{new_id('tmp')}")
    try:
        draft.mkdir(parents=True)
        for name, data in files.items():
            (draft / name).parent.mkdir(exist_ok=True)
            with (draft / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(draft)
        if not folder.exists():
            draft.rename(folder)
            sync_folder(folder.parent)
        elif (folder / identity).read_bytes() != files[identity]:
            raise Conflict(f"{folder} exists and holds something else.", "Write to a new folder.")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.", "Check the folder and the disk.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sha256_of(data: bytes) -> str:
    """The SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes in hex, however large it is.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
