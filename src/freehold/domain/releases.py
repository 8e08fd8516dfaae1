"""Releases that were built here."""

from __future__ import annotations

import msgspec


class BuiltRelease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release, so that a recall finds it. Noted just before its folder is put in place: a build that was killed at
    that moment leaves a record whose folder never was."""

    release_id: str
    student: str
    task: str
    path: str
    """The folder, absolute, where it was put."""
    manifest_sha256: str
    """Of manifest.json."""
    created_ns: int
