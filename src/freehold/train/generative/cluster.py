"""A run of training on a Ray cluster: the same workers as on this machine, on its nodes, to the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

import freehold
from freehold.domain.errors import TrainingError
from freehold.runners.ray_team import Job, RayTeam
from freehold.serving.folder import ADAPTER, MODEL
from freehold.train.generative.spec import (
    CHECKPOINT,
    PROGRESS,
    RESULT,
    SPEC,
    BaseStart,
    Fit,
    Spec,
    read_json,
    write_bytes,
)
from freehold.train.progress import Progress

_RUN = "run"
_HERE = "freehold.train.generative.cluster"


class RayWorkers:
    """Trains on a cluster: what `fit` takes as its `train_by`."""

    def __init__(self, address: str, *, gpus: int = 0) -> None:
        """`address`: of the cluster, as `[runner] address` says; `gpus`: of each worker."""
        self._address, self._gpus = address, gpus

    def __call__(self, run: Path, spec: Spec, watch: Callable[[Progress], None]) -> Fit:
        """Train what lies in `run`, a student's folder's own, on as many workers as the recipe says.

        Checkpoints come back as they are made, so that a run goes on after any worker, or this process, has died.

        Raises:
            ConfigError: there is no cluster, it is too small, or its nodes differ.
            TrainingError: as `Workers.wait`.
        """
        told = spec.recipe.run
        for name in (PROGRESS, RESULT):
            (run / name).unlink(missing_ok=True)
        team = RayTeam(self._address, told.workers, threads=told.threads, gpus=self._gpus)

        def news(files: Mapping[str, bytes]) -> None:
            _write(run.parent, files)
            if f"{_RUN}/{PROGRESS}" in files:
                watch(msgspec.json.decode(files[f"{_RUN}/{PROGRESS}"], type=Progress))

        def files() -> dict[str, bytes]:
            there = (run / SPEC, *sorted(run.glob("*.safetensors")))  # the examples, and the checkpoint
            return {f"{_RUN}/{path.name}": path.read_bytes() for path in there}

        meanwhile = frozenset((f"{_RUN}/{PROGRESS}", f"{_RUN}/{CHECKPOINT}"))
        team.run(Job(f"{_HERE}:work", f"{_HERE}:conditions", files, news, meanwhile))
        result = read_json(run / RESULT, Fit)
        if result is None:
            raise TrainingError("The cluster's workers ended without a result.", "Look at the logs of its nodes.")
        return result


def work(folder: Path) -> None:
    """One worker, on a node."""
    from freehold.train.generative import worker
    from freehold.train.generative.team import leave_team

    worker.work(folder / _RUN)
    leave_team()


def conditions(folder: Path) -> dict[str, str]:
    """What must be equal on all workers for their weights to stay equal; on a node.

    Raises:
        TrainingError: the base model is not on this node.
    """
    torch: Any = import_module("torch")
    spec = read_json(folder / _RUN / SPEC, Spec)
    assert spec is not None
    told = {"freehold": freehold.__version__} | {name: version(name) for name in ("torch", "transformers")}
    told["instruction set"] = str(torch.backends.cpu.get_cpu_capability())
    told["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    if isinstance(spec.start, BaseStart):
        told["base model"] = _hashed(Path(spec.start.folder))
    return told


def _hashed(base: Path) -> str:
    weights = sorted(base.glob("*.safetensors"))
    if not weights:
        raise TrainingError(
            f"The base model {base} is not on every node of the cluster.",
            "Put it at the same path everywhere, or on a disk that all nodes see.",
        )
    whole = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put what came back where a run on this machine would have it."""
    for made in (MODEL, ADAPTER):
        if any(name.startswith(f"{made}/") for name in files):
            shutil.rmtree(folder / made, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
