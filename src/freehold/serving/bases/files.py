"""The files of a base model's folder: which count, which are refused, and their hashes.

Looked at are names and sizes only; what could run code when it is read (pickles) is never opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from freehold.domain.errors import StoreError, StudentError
from freehold.rights.detection.files import walk
from freehold.store.artifacts import file_sha256

PICKLES = frozenset((".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"))
"""What holds weights as pickles."""
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
_COUNTED = frozenset(
    (
        CONFIG, "generation_config.json", TOKENIZER, "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
    )
)  # fmt: skip


class FileHash(msgspec.Struct, frozen=True):
    """A file as it was when it was hashed."""

    size: int
    mtime_ns: int
    sha256: str


class HashCache:
    """Hashes of files by path, kept in one JSON file; a file of another size or time is hashed again.

    Only a help: without its file, or with a damaged one, everything is hashed anew.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: None keeps nothing."""
        self._path = path
        self._known: dict[str, FileHash] = {}
        self._changed = False
        if path is not None and path.is_file():
            try:
                self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, FileHash])
            except (OSError, msgspec.DecodeError):
                self._known = {}

    def sha256(self, path: Path, *, fresh: bool = False) -> str:
        """The hash of a file's bytes; `fresh`: whatever is remembered.

        Raises:
            StudentError: it cannot be read.
        """
        try:
            stat = path.stat()
            known = self._known.get(str(path))
            if not fresh and known is not None and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return known.sha256
            digest = file_sha256(path)
        except OSError as error:
            raise StudentError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
        self._known[str(path)] = FileHash(stat.st_size, stat.st_mtime_ns, digest)
        self._changed = True
        return digest

    def save(self) -> None:
        """Keep what was hashed, for other processes too; nothing is lost where that fails.

        Raises:
            StoreError: the data folder cannot be written.
        """
        if self._path is None or not self._changed:
            return
        write_json(self._path, self._known)
        self._changed = False


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(msgspec.to_builtins(value), sort_keys=True, indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.", "Check the data folder.") from error


def safe_files(folder: Path) -> dict[str, Path]:
    """The files of a model's folder that are read, by name, in order; and nothing in it leads elsewhere.

    Raises:
        StudentError: it has only pickled weights, or none, no config.json, or links that lead out of it.
    """
    entries = list(walk(folder))
    for entry in entries:
        if entry.problem:
            raise StudentError(
                f"{folder}/{entry.name} is not used: {entry.problem}",
                "A base model is a folder with its own files: copy what is linked into it.",
            )
    top = {entry.name: Path(entry.path) for entry in entries if "/" not in entry.name}
    kept = {name: path for name, path in sorted(top.items()) if _counts(name)}
    if not any(name.endswith(".safetensors") for name in kept):
        _refuse_without_weights(folder, sorted(top))
    if CONFIG not in kept:
        raise StudentError(f"{folder} has no config.json.", "A base model is a whole Hugging Face folder.")
    return kept


def pickles_in(folder: Path) -> tuple[str, ...]:
    """Names of files beside the weights that are never opened."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in PICKLES))


def folder_sha256(hashes: Mapping[str, str]) -> str:
    """`BaseUsed.sha256`: over the lines `SHA256  NAME`, each with a line feed, in order of name."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _counts(name: str) -> bool:
    return name in _COUNTED or name.endswith((".safetensors", ".safetensors.index.json"))


def _refuse_without_weights(folder: Path, names: list[str]) -> None:
    pickled = [name for name in names if Path(name).suffix.lower() in PICKLES]
    if pickled:
        raise StudentError(
            f"{folder} has weights as pickles only ({', '.join(pickled[:3])}), which may run code: they were not "
            "opened.",
            "Take the model's safetensors files, or have somebody you trust convert them on a machine apart.",
        )
    raise StudentError(f"{folder} has no weights: no .safetensors file.", "Copy the model's whole folder.")
