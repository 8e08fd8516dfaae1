"""Whether a model's files are here, to the byte: every one is read and hashed now, none is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from freehold.domain.errors import StudentError
from freehold.release.models import checked_base
from freehold.release.verify.tree import path_fault
from freehold.serving.bases.places import base_folder
from freehold.serving.folder import BaseUsed
from freehold.store.artifacts import MANIFEST, TENSORS, sha256_of


class Held(NamedTuple):
    """What was found of a student's or router's folder."""

    whole: bool
    sentence: str
    """What was hashed, or what is missing."""


class _Manifest(msgspec.Struct):
    files: dict[str, str]
    weights: str = ""
    base: BaseUsed | None = None


def held(folder: Path, manifest_sha256: str) -> Held:
    """Whether all files that the manifest of this hash names are in `folder`, as it names them."""
    try:
        body = (folder / MANIFEST).read_bytes()
        if sha256_of(body) != manifest_sha256:
            return Held(False, f"{folder / MANIFEST} is not the one that was certified: its hash differs.")
        files = msgspec.json.decode(body, type=_Manifest).files
        if TENSORS not in files:
            return Held(False, f"{folder / MANIFEST} names no weights.")
        outside = [name for name in files if path_fault(name)]
        if outside:
            return Held(False, f"{folder / MANIFEST} names {outside[0]!r}, which is no file of its folder.")
        size = 0
        for name, digest in files.items():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return Held(False, f"{folder / name} is not the one that was certified: its hash differs.")
                size += file.tell()
    except OSError as error:
        return Held(False, f"{error.filename or folder} cannot be read: {error.strerror}.")
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return Held(False, f"{folder / MANIFEST} cannot be understood: {error}.")
    told = f"{folder}: {len(files) + 1} files, {size + len(body):,} bytes"
    return Held(True, f"{told}, as certified by the SHA-256 of its manifest, {manifest_sha256[:16]}….")


def base_lacks(data: Path, folder: Path) -> str:
    """Why an adapter cannot answer: its base is not in the installation with the data folder `data`, or has changed.
    Empty: it is there to the byte, or the student in `folder` needs none."""
    try:
        known = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
        if known.weights == "adapter" and known.base is not None:
            checked_base(base_folder(data, known.base), known.base)
    except StudentError as error:
        return f"It is an adapter, and without its base it is nothing: {error.message}"
    except (OSError, msgspec.DecodeError) as error:
        return f"{folder / MANIFEST} cannot be read: {error}."
    return ""
