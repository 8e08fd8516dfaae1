"""Where a run has got to: one safetensors file with weights, optimisers and, as JSON in its head, the counters.

It is written beside its place, synced and renamed: after `kill -9` or a power cut there is the old one or the new one.
Random numbers need no place in it: every step begins with a seed of its own.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from freehold.store.folders import sync_folder
from freehold.train.generative.spec import CHECKPOINT, disk_error

_HEAD = "freehold"


class State(msgspec.Struct, kw_only=True):
    """The counters of a run."""

    step: int = 0
    """Steps done."""
    epoch_loss: float = 0.0
    """Sum over the target tokens of the epoch so far, and how many they are."""
    epoch_targets: int = 0
    fit_loss: float = 0.0
    """Mean of the last whole epoch."""
    tune_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    looks_since: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    joules: float = 0.0
    environment: dict[str, str] = {}
    begun_again: str = ""
    """Why the run was begun again from the start; empty: it was not."""


def write_checkpoint(run: Path, state: State, tensors: dict[str, Any]) -> None:
    """Replace the run's checkpoint.

    Raises:
        TrainingError: the disk is full; the checkpoint before is as it was.
    """
    safetensors: Any = import_module("safetensors.torch")
    head = {_HEAD: msgspec.json.encode(state).decode()}
    draft = run / (CHECKPOINT + ".draft")
    try:
        safetensors.save_file({name: value.contiguous() for name, value in tensors.items()}, draft, metadata=head)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(run / CHECKPOINT)
        sync_folder(run)
    except (OSError, import_module("safetensors").SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise disk_error(run / CHECKPOINT, error) from error


def read_checkpoint(run: Path, device: Any) -> tuple[State, dict[str, Any]] | None:
    """What was written last; None where nothing was."""
    path = run / CHECKPOINT
    if not path.is_file():
        return None
    safetensors: Any = import_module("safetensors")
    with safetensors.safe_open(path, "pt", device=str(device)) as file:
        state = msgspec.json.decode(file.metadata()[_HEAD], type=State)
        return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no mapping
