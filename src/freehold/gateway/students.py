"""Reads a student's files and makes it ready to answer. Called in the policy watch's thread, never in a request."""

from __future__ import annotations

from pathlib import Path

from freehold.route import Student


def load_student(folder: Path, sha256: str) -> Student:
    """The student in `folder`, every file's hash checked.

    Raises:
        StudentError: a file is missing or changed, or they do not fit together.
    """
    from freehold.store.artifacts import read_student  # numpy: only once there is a student
    from freehold.upstreams.student import build_classifier

    manifest, tensors = read_student(folder, sha256)
    return build_classifier(manifest, tensors)
