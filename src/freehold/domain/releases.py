"""Releases that were built here."""

from __future__ import annotations

import msgspec


class BuiltRelease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release folder that was written, so that a recall finds it."""

    release_id: str
    student: str
    task: str
    path: str
    """The folder, absolute."""
    manifest_sha256: str
    """Of manifest.json."""
    created_ns: int
