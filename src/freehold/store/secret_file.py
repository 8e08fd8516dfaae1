"""A file that holds a random secret, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from freehold.domain.ids import new_id

SECRET_BYTES = 32


def make_secret(path: Path) -> None:
    """Write 32 random bytes in hex to `path`, whole or not at all; a file that is there already stays as it is.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{new_id('key')}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(SECRET_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process made one first: that one counts
            os.link(draft, path)
    finally:
        draft.unlink()


def read_secret(path: Path) -> bytes:
    """The bytes that `make_secret` wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    if len(secret) != SECRET_BYTES:
        raise ValueError("not as long as a secret")
    return secret
