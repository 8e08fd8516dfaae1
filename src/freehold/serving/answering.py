"""Prompts in, a stored student's answers out, whatever kind it is: for evaluating it, never in a request's path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.serving.bases.places import base_folder
from freehold.serving.gate import StudentAnswer, read_gate
from freehold.store.artifacts import check_files, read_student
from freehold.upstreams.student import build_classifier

if TYPE_CHECKING:
    from freehold.domain.evidence import Student


def answers_of(data: Path, student: Student, prompts: Sequence[str]) -> list[StudentAnswer]:
    """What a student of the data folder `data` answers to each prompt, every file's hash checked before.

    Raises:
        StudentError: its files, or its base's, are missing or changed.
        ConfigError: it is generative, and what computes is not installed.
    """
    folder = data / student.path
    manifest, tensors = read_student(folder, student.sha256)
    if student.kind == "classifier":
        classifier = build_classifier(manifest, tensors)
        return [StudentAnswer(*classifier.answer(prompt)) for prompt in prompts]
    from freehold.serving.engine import answer_all

    check_files(folder, manifest)
    gate = read_gate(manifest, tensors)
    base = gate.manifest.base
    where = base_folder(data, base) if base is not None and gate.manifest.weights == "adapter" else None
    return answer_all(folder, gate.manifest, where, prompts, gate)
