"""A stored student as what is exported: every file of it checked, and its base found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.config import Settings
from freehold.domain.counsel import Decision
from freehold.domain.errors import StudentError
from freehold.serving.bases import find_base, require_same
from freehold.serving.bases.files import HashCache
from freehold.serving.export.source import Source, source_of
from freehold.serving.folder import ADAPTER, MODEL, GenerativeManifest

_MANIFEST = "manifest.json"
_AGAIN = "Train it again with `freehold train`."


class StudentSource(NamedTuple):
    """What is exported, and what the student says of itself."""

    source: Source
    manifest: GenerativeManifest


def student_source(
    settings: Settings, folder: Path, sha256: str | None = None, decisions: Iterable[Decision] = ()
) -> StudentSource:
    """Check a generative student's folder against its manifest, and find what its weights are.

    Args:
        settings: where base models are.
        folder: the student's.
        sha256: of its manifest, as it was stored; None: it is not known.
        decisions: by counsel, on the base.

    Raises:
        StudentError: it is no generative student, files are missing or changed, or its base has changed.
        ConfigError, TrainingError, RightsError: of the base; see `find_base`.
    """
    try:
        body = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise StudentError(f"{folder / _MANIFEST} cannot be read: {error.strerror}.", _AGAIN) from error
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
        raise StudentError(f"{folder / _MANIFEST} is not the one that was stored.", _AGAIN)
    try:
        manifest = msgspec.json.decode(body, type=GenerativeManifest)
        files = msgspec.convert(msgspec.json.decode(body, type=dict[str, Any]).get("files"), dict[str, str])
    except msgspec.ValidationError as error:
        raise StudentError(
            f"{folder} holds no generative student: {error}.",
            "Only language models are exported; classifiers are served in the gateway.",
        ) from error
    except msgspec.DecodeError as error:
        raise StudentError(f"{folder / _MANIFEST} is no JSON: {error}.", _AGAIN) from error
    _check_files(folder, files)
    if manifest.weights == "full":
        return StudentSource(source_of(folder), manifest)
    if manifest.base is None:
        raise StudentError(f"{folder} is an adapter, and its manifest names no base model.", _AGAIN)
    base = find_base(settings, manifest.base.name, decisions)
    require_same(base, manifest.base)
    return StudentSource(source_of(folder, base.folder), manifest)


def _check_files(folder: Path, files: dict[str, str]) -> None:
    """What is there must be named, and what is named must be there as it was."""
    there = {
        f"{room}/{path.name}"
        for room in (MODEL, ADAPTER)
        if (folder / room).is_dir()
        for path in (folder / room).iterdir()
    }
    strange = sorted(there - files.keys())
    if strange:
        raise StudentError(f"{folder}/{strange[0]} is not named by the student's manifest.", "Remove it.")
    cache = HashCache(None)
    for name, digest in sorted(files.items()):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or path.is_symlink() or not path.is_file():
            raise StudentError(f"{path} is missing, or no file of the student's folder.", _AGAIN)
        if cache.sha256(path) != digest:
            raise StudentError(f"{path} is not the file that was stored: its hash differs.", _AGAIN)
