"""A release's folder, written whole or not at all.

It is written as a draft beside its place, synced, and renamed. A draft is locked by the process that writes it: what a
killed process left behind is removed by the next build beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from freehold.domain.errors import Conflict, StoreError
from freehold.domain.ids import new_id
from freehold.release.inventory import (
    INVENTORY,
    MANIFEST,
    SIGNATURE,
    Inventory,
    ManifestFile,
    ReleaseManifest,
    Role,
)
from freehold.store.folders import sync_folder

_DRAFT = ".freehold-draft"
_BLOCK = 1 << 20
_Told = TypeVar("_Told", Inventory, ReleaseManifest)
_KNOWN = frozenset(f"freehold-release/{version}" for version in (1,))


@contextlib.contextmanager
def drafted(out: Path) -> Generator[Path, None, None]:
    """A new folder of the name of `out`, within a draft beside it; what is not moved by `publish` goes again.

    Raises:
        Conflict: `out` exists.
        StoreError: the folder cannot be made.
    """
    if out.exists() or out.is_symlink():
        raise Conflict(f"{out} exists, and a release is only ever written to a new place.", "Give another --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(out.parent)
        draft, lock = _locked_draft(out)
        (draft / out.name).mkdir()
    except OSError as error:
        raise StoreError(f"No release can be written to {out}: {error.strerror}.", "Check the folder.") from error
    try:
        yield draft / out.name
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock)


def _locked_draft(out: Path) -> tuple[Path, int]:
    while True:
        draft = out.with_name(f".{out.name}.{new_id('tmp')}{_DRAFT}")
        draft.mkdir()
        lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if draft.exists():
            return draft, lock
        os.close(lock)  # another build took it for a dead one's before it was locked


class Copied(NamedTuple):
    """A file that is to be copied."""

    source: Path
    sha256: str = ""
    """Which it must have; empty: any."""


Content = bytes | Copied
"""Of a release's file."""


def write_file(draft: Path, path: str, content: Content) -> tuple[int, str]:
    """Write one file of a release, synced; its length and SHA-256.

    Raises:
        StoreError: it cannot be written, or what it is to be a copy of cannot be read, or is another file by now.
    """
    target = draft / path
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(target.open("xb"))
            if isinstance(content, bytes):
                file.write(content)
                digest.update(content)
            else:
                source = stack.enter_context(content.source.open("rb"))
                while block := source.read(_BLOCK):
                    file.write(block)
                    digest.update(block)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    except OSError as error:
        raise StoreError(
            f"The release's file {path} cannot be written: {error.filename or target}: {error.strerror}.",
            "Check the disk and the folder.",
        ) from error
    if isinstance(content, Copied) and content.sha256 not in ("", digest.hexdigest()):
        raise StoreError(f"{content.source} was changed while it was copied.", "Find out by whom; then build again.")
    return size, digest.hexdigest()


def write_files(draft: Path, contents: Mapping[str, Content], roles: Mapping[str, Role]) -> list[ManifestFile]:
    """Write files of a release; what the manifest says of them.

    Raises:
        StoreError: as `write_file`.
    """
    written: list[ManifestFile] = []
    for path, content in contents.items():
        size, sha256 = write_file(draft, path, content)
        written.append(ManifestFile(path=path, role=roles[path], bytes=size, sha256=sha256))
    return written


def manifest_file(draft: Path, path: str, role: Role) -> ManifestFile:
    """What the manifest says of a file that somebody else wrote into the draft, synced now.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with (draft / path).open("rb") as file:
            data = file.read()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"The release's file {path} cannot be read: {error.strerror}.", "Check the disk.") from error
    return ManifestFile(path=path, role=role, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def publish(draft: Path, out: Path) -> None:
    """Move a finished draft to its place, so that it outlives a power cut.

    Raises:
        Conflict: meanwhile something else is there.
        StoreError: it cannot be moved.
    """
    try:
        for folder in (path for path in draft.rglob("*") if path.is_dir()):
            sync_folder(folder)
        sync_folder(draft)
        if out.exists():
            raise Conflict(f"{out} was made by somebody else meanwhile.", "Give another --out.")
        draft.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise StoreError(
            f"The release cannot be moved to {out}: {error.strerror}.", "Check the folder and the disk."
        ) from error


def read_inventory(folder: Path) -> tuple[Inventory, ReleaseManifest]:
    """What a release says of itself. Nothing is verified: see `freehold release verify`.

    Raises:
        StoreError: it is no release, or cannot be read.
    """
    inventory = _decoded(folder / INVENTORY, Inventory)
    manifest = _decoded(folder / MANIFEST, ReleaseManifest)
    for told in (inventory.format, manifest.format):
        if told not in _KNOWN:
            raise StoreError(f"{folder} has the format {told!r}.", "Use the version of Freehold that knows it.")
    if not (folder / SIGNATURE).is_file():
        raise StoreError(f"{folder} has no {SIGNATURE}, so it is no whole release.", "Get it again.")
    return inventory, manifest


def _decoded(path: Path, kind: type[_Told]) -> _Told:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StoreError(
            f"{path.parent} cannot be read as a release: {path.name}: {error.strerror}.", "Give a release's folder."
        ) from error
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is not what a release has there: {error}.", "Get the release again.") from error


def _remove_dead(parent: Path) -> None:
    """Remove drafts that no process holds any more."""
    for draft in parent.glob(f".*{_DRAFT}"):
        with contextlib.suppress(OSError):  # somebody else's, or gone already
            lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft, ignore_errors=True)
            finally:
                os.close(lock)
