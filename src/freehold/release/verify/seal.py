"""Level 0: the folder holds what was signed by the key that is trusted, to the last byte, and nothing else.

Whatever the other levels read comes through `Sealed.read`, which hashes the very bytes it gives: a file that is swapped
after level 0 is found then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from freehold.domain.errors import ReleaseError, RequestError, StoreError
from freehold.release.inventory import (
    FORMAT,
    INVENTORY,
    MANIFEST,
    MODEL_MANIFEST,
    SIGNATURE,
    Inventory,
    ManifestFile,
    ReleaseManifest,
    ReleaseSignature,
)
from freehold.release.verify.documents import parse
from freehold.release.verify.tree import GET_ANOTHER, Tree, folded, path_fault
from freehold.store.artifacts import sha256_of
from freehold.store.keys import verify

MAX_MANIFEST = 64 << 20
MAX_SIGNATURE = 4096
MAX_IN_MEMORY = 8 << 30
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_FILE_BYTES = 200
_BESIDE = (MANIFEST, SIGNATURE)


class Sealed:
    """A release whose manifest is signed by the key that is trusted; what is read of it is hashed each time.

    Args:
        tree: the release's folder.
        manifest: as signed.
        manifest_sha256: of its bytes.
    """

    def __init__(self, tree: Tree, manifest: ReleaseManifest, manifest_sha256: str) -> None:
        self.tree = tree
        self.manifest = manifest
        self.manifest_sha256 = manifest_sha256
        self.files = {file.path: file for file in manifest.files}

    def read(self, path: str) -> bytes:
        """All of a file, hashed as it is read.

        Raises:
            ReleaseError: the manifest has no such file, or it is not the one that was signed, or too large.
        """
        known = self._known(path)
        if known.bytes > MAX_IN_MEMORY:
            raise ReleaseError(f"{path} has {known.bytes} bytes: too many to hold at once.", "Verify level 0 only.")
        data = bytearray()
        self._hashed(known, data.extend)
        return bytes(data)

    def copy(self, path: str, target: Path) -> None:
        """Write a file's copy, hashed as it is read; nothing is left of one that is not as signed.

        Raises:
            ReleaseError: as `read` does, whatever its size.
            StoreError: the copy cannot be written.
        """
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                self._hashed(self._known(path), file.write)
        except OSError as error:
            raise StoreError(f"{path} cannot be copied to {target}: {error.strerror}.", "Make room there.") from error
        except ReleaseError:
            target.unlink(missing_ok=True)
            raise

    def check(self, path: str) -> None:
        """Hash a file without keeping it.

        Raises:
            ReleaseError: as `read` does.
        """
        self._hashed(self._known(path), None)

    def decode(self, path: str, kind: type[Any]) -> Any:
        """A JSON document of the release.

        Raises:
            ReleaseError: as `read` does, or it is not of this form.
        """
        return parse(self.read(path), kind, path)

    def _known(self, path: str) -> ManifestFile:
        if path not in self.files:
            raise ReleaseError(f"The release has no {path}.", "Ask whoever built it for one that has.")
        return self.files[path]

    def _hashed(self, known: ManifestFile, take: Callable[[bytes], object] | None) -> None:
        found = self.tree.read(known.path, known.bytes, take)
        if found != known.sha256:
            raise ReleaseError(
                f"{known.path} was changed: its SHA-256 is {found[:16]}…, not {known.sha256[:16]}… as signed.",
                GET_ANOTHER,
            )


def trusted_key(given: str) -> str:
    """The public key that is given as 64 hex digits or in a file that holds them.

    Raises:
        RequestError: it is neither.
    """
    text = given.strip().lower()
    if not _HASH.fullmatch(text):
        try:
            with Path(given).open("rb") as file:
                text = file.read(_KEY_FILE_BYTES + 1).decode("ascii").strip().lower()
        except (OSError, ValueError) as error:
            raise RequestError(f"The key file {given!r} cannot be read: {error}.", _KEY_HINT) from error
    if not _HASH.fullmatch(text):
        raise RequestError(f"{given} holds no public key.", _KEY_HINT)
    return text


_KEY_HINT = "Give the 64 hex digits of the public key, or a file with them, got by a way you trust."


def claimed_key(folder: Path) -> str:
    """The public key that the folder says it is signed by, which proves nothing; empty where it says none."""
    try:
        with Tree(folder) as tree:
            return parse(tree.small(SIGNATURE, MAX_SIGNATURE), ReleaseSignature, SIGNATURE).public_key
    except ReleaseError:
        return ""


def open_sealed(tree: Tree, key: str) -> Sealed:
    """The release in a folder, if its manifest was signed by `key`; its files are not looked at yet.

    Raises:
        ReleaseError: the signature or the manifest is missing, damaged, by another key, or not of this form.
    """
    signed = parse(tree.small(SIGNATURE, MAX_SIGNATURE), ReleaseSignature, SIGNATURE, canonical=True)
    body = tree.small(MANIFEST, MAX_MANIFEST)
    if signed.public_key != key:
        raise ReleaseError(
            f"{SIGNATURE} is by another key: it names {signed.public_key[:16]!r}…, not {key[:16]}… as given.",
            "Give the key of whoever you have the release from, got by another way than with the release.",
        )
    if signed.signature != signed.signature.lower() or not verify(key, body, signed.signature):
        raise ReleaseError(
            f"The signature does not hold: {MANIFEST} or {SIGNATURE} was changed after it was signed.", GET_ANOTHER
        )
    manifest = parse(body, ReleaseManifest, MANIFEST, canonical=True)
    _check_manifest(manifest)
    return Sealed(tree, manifest, sha256_of(body))


def check_files(sealed: Sealed) -> str:
    """That the folder holds each file of the manifest as signed, and no other; says so.

    Raises:
        ReleaseError: the first thing that is not so.
    """
    found = list(sealed.tree.files())
    wanted = {*sealed.files, *_BESIDE}
    extra = [path for path in found if path not in wanted]
    if extra:
        raise ReleaseError(f"{extra[0]} is not in the manifest{_more(extra)}.", GET_ANOTHER)
    missing = sorted(wanted.difference(found))
    if missing:
        raise ReleaseError(f"{missing[0]} is missing{_more(missing)}.", GET_ANOTHER)
    for path in sealed.files:
        sealed.check(path)
    again = sorted(sealed.tree.files())
    if again != sorted(found):
        raise ReleaseError("The folder was changed while it was read.", "Let nothing write there; verify again.")
    total = sum(file.bytes for file in sealed.manifest.files)
    return f"All {len(sealed.files)} files are as signed ({total} bytes), and there is nothing else."


def read_inventory(sealed: Sealed) -> Inventory:
    """The inventory, which must say of the files what the manifest says.

    Raises:
        ReleaseError: it is missing, of another form or version, or contradicts the manifest.
    """
    inventory: Inventory = sealed.decode(INVENTORY, Inventory)
    if inventory.format != FORMAT or inventory.release_id != sealed.manifest.release_id:
        raise ReleaseError(f"{INVENTORY} is of another release than {MANIFEST}.", GET_ANOTHER)
    for item in inventory.items:
        known = sealed.files.get(item.path)
        if item.path and known is None:
            raise ReleaseError(f"{INVENTORY} tells of {item.path}, which the release has not.", GET_ANOTHER)
        if known is not None and item.sha256 not in ("", known.sha256):
            raise ReleaseError(f"{INVENTORY} tells another SHA-256 of {item.path} than {MANIFEST}.", GET_ANOTHER)
    if sealed.files.get(MODEL_MANIFEST) is None or sealed.files[MODEL_MANIFEST].sha256 != inventory.weights.sha256:
        raise ReleaseError(f"{MODEL_MANIFEST} is not of the student that {INVENTORY} tells of.", GET_ANOTHER)
    return inventory


def signature_sentence(sealed: Sealed, key: str) -> str:
    """What is told of the signature once `open_sealed` has found it to hold."""
    return f"Ed25519 by the key that was given, {key[:16]}…, over {MANIFEST}, SHA-256 {sealed.manifest_sha256}."


def _check_manifest(manifest: ReleaseManifest) -> None:
    if manifest.format != FORMAT:
        raise ReleaseError(
            f"{MANIFEST} is of the format {manifest.format!r}; this program knows {FORMAT}.",
            "Verify it with the program that it was written for.",
        )
    paths = [file.path for file in manifest.files]
    for path in paths:
        fault = path_fault(path)
        if fault:
            raise ReleaseError(f"{MANIFEST} names {path!r}, which {fault}.", GET_ANOTHER)
    if paths != sorted(set(paths)):
        raise ReleaseError(f"{MANIFEST} does not name its files in order, each once.", GET_ANOTHER)
    _check_distinct(paths)
    for file in manifest.files:
        if file.path in _BESIDE or file.bytes < 0 or not _HASH.fullmatch(file.sha256):
            raise ReleaseError(f"{MANIFEST} says of {file.path} what cannot be.", GET_ANOTHER)


def _check_distinct(paths: Sequence[str]) -> None:
    """Raise ReleaseError if two paths, or a file and a folder, are one on some file systems."""
    known: dict[str, str] = {folded(path): path for path in _BESIDE}
    folders: dict[str, str] = {}
    for path in paths:
        other = known.setdefault(folded(path), path)
        if other != path:
            raise ReleaseError(f"{other} and {path} are one file where case does not count.", GET_ANOTHER)
        names = path.split("/")
        for depth in range(1, len(names)):
            folder = "/".join(names[:depth])
            if folders.setdefault(folded(folder), folder) != folder:
                raise ReleaseError(f"The folder {folder} is there in two spellings.", GET_ANOTHER)
    both = folders.keys() & known.keys()
    if both:
        raise ReleaseError(f"{folders[both.pop()]} is a folder and a file.", GET_ANOTHER)


def _more(paths: Sequence[str]) -> str:
    return f" (and {len(paths) - 1} more are)" if len(paths) > 1 else ""
