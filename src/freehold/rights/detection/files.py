"""The files of a model's folder that may say what its licence is: found within bounds, and never read outside of it.

Looked through: `DEPTH` folders deep, `MAX_ENTRIES` files and folders; hidden folders are not. Where a bound is met,
that is told, because what was not seen may be the licence. A link is followed only within the folder, and from a
snapshot in Hugging Face's cache to the blobs beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from freehold.domain.errors import StoreError

DEPTH = 6
MAX_ENTRIES = 20_000
MAX_LICENCE_FILES = 50
MAX_TEXT_BYTES = 2_000_000
"""No licence is longer; what is, is not read."""
_NAME = re.compile(
    r"licen[cs]e|^copying|^eula|agreement|terms|^patents|(use|usage|aup|prohibited)[ _.-]*policy|acceptable[ _-]use"
    r"|use[ _-]restrictions",
    re.IGNORECASE,
)
_POLICY = re.compile(r"policy|acceptable[ _-]use|restrictions", re.IGNORECASE)
_DATA = (
    ".py .json .jsonl .csv .tsv .parquet .safetensors .gguf .bin .pt .pth .onnx .npy .npz .msgpack .model .h5 .c .h "
    ".cc .cpp .js .ts .go .rs .java .sh .yaml .yml .toml .png .jpg .jpeg .gif .svg .ipynb .pyc .index .lock .xml"
)
_DATA_SUFFIXES = frozenset(_DATA.split(" "))
"""Of files whose names may speak of licences, and that are none."""


class Entry(NamedTuple):
    """A file of the folder."""

    name: str
    """Relative to the folder, with slashes."""
    path: str
    problem: str = ""
    """Why it is not read."""


def walk(folder: Path) -> Iterator[Entry]:
    """All files in order of their names, those of a folder before those of its folders.

    Raises:
        StoreError: a folder cannot be read.
    """
    root, waiting, seen = folder.resolve(), [("", 0)], 0
    while waiting:
        place, depth = waiting.pop()
        folders: list[str] = []
        for found in _scan(folder / place):
            seen += 1
            if seen > MAX_ENTRIES:
                yield Entry(".", "", f"There are more than {MAX_ENTRIES:,} files: not all were looked at.")
                return
            name = f"{place}/{found.name}" if place else found.name
            if found.is_symlink():
                yield Entry(name, found.path, _leads_out(Path(found.path), root))
            elif found.is_dir(follow_symlinks=False):
                folders += [name] if not found.name.startswith(".") else []
            elif found.is_file(follow_symlinks=False):
                yield Entry(name, found.path)
        if folders and depth == DEPTH:
            yield Entry(".", "", f"There are folders more than {DEPTH} deep: these were not looked through.")
        else:
            waiting += [(name, depth + 1) for name in reversed(folders)]


def _scan(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(place, error) from error


def _leads_out(link: Path, root: Path) -> str:
    """Why a link is not followed; empty if it may be."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "It is a link that leads nowhere."
    inside = target.is_relative_to(root)
    blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else None
    if not inside and (blobs is None or not target.is_relative_to(blobs)):
        return "It is a link that leads out of the folder: it was not followed."
    return "" if target.is_file() else "It is a link to what is no file: it was not followed."


def is_licence(name: str) -> bool:
    """Whether a file of this name should hold a licence, or terms beside it."""
    base = name.rpartition("/")[2]
    if _NAME.search(base) is None or base.lower().startswith("notice"):
        return False
    return os.path.splitext(base)[1].lower() not in _DATA_SUFFIXES  # noqa: PTH122 - of a name, and of thousands


def is_policy(name: str) -> bool:
    """Whether a file of this name holds rules of use that come beside a licence."""
    return _POLICY.search(name.rpartition("/")[2]) is not None


def read_start(path: str, most: int) -> bytes:
    """The first `most` bytes of a file.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror}.", "Check the folder's permissions.")
