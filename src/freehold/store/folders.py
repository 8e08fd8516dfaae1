"""Folders on disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make what was created or renamed in `folder` outlive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def tree_bytes(root: Path, suffix: str) -> int:
    """Size of all files that end in `suffix` in the folders of `root`; what vanishes meanwhile counts as nothing.

    Raises:
        OSError: they cannot be looked at.
    """
    total = 0
    for folder in os.scandir(root):
        with contextlib.suppress(FileNotFoundError):
            if folder.is_dir():
                total += sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(suffix))
    return total
