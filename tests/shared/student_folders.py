"""Folders of generative students, as they are stored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from freehold.serving.folder import BaseUsed, GenerativeManifest


def write_manifest(folder: Path, weights: Any, base: BaseUsed | None = None) -> str:
    """Write the manifest of a student's folder, over all other files in it; gives its hash."""
    manifest = GenerativeManifest(
        task="ticket",
        dataset="ds",
        dataset_sha256="",
        seed=0,
        recipe={},
        weights=weights,
        base=base,
        context=64,
        max_answer_tokens=32,
        parameters=1,
        input_tokens_fixed=0,
        input_tokens_per_character=0,
        output_tokens_per_character=0,
    )
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    files = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    body = msgspec.json.encode({**msgspec.to_builtins(manifest), "files": files})
    (folder / "manifest.json").write_bytes(body)
    return hashlib.sha256(body).hexdigest()
