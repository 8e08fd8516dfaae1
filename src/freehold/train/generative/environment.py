"""What the bytes of a trained model depend on beside data, recipe and seed; all of it is recorded and checked.

On one type of machine these give the same bytes: the same versions of torch and of transformers, threads and workers,
precision and device, and the instruction set that torch computes with (`ATEN_CPU_CAPABILITY`). On a GPU some sums are
made in any order; there equal bytes are asked of torch wherever it can give them, and not promised.
"""

from __future__ import annotations

import os
import platform
from importlib import import_module
from importlib.metadata import version
from typing import Any

from freehold.train.recipes import Run

torch: Any = import_module("torch")

_NARROWEST_FOR_BFLOAT16 = 192
"""Hidden width from which bfloat16 pays on a CPU with AMX; below, converting takes what multiplying saves."""


def settle(run: Run, seed: int) -> Any:
    """Set threads, seed and determinism for this process; returns its torch device."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(seed)
    device = _device()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(device)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False
    return device


def choose_precision(run: Run, device: Any, hidden: int) -> Any:
    """The torch type that matrices are multiplied in: float32 or bfloat16."""
    if run.precision != "auto":
        return getattr(torch, run.precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if hidden >= _NARROWEST_FOR_BFLOAT16 and _has_tiles() else torch.float32


def describe(run: Run, device: Any, precision: Any, workers: int) -> dict[str, str]:
    """What must be the same for the same bytes."""
    cuda = device.type == "cuda"
    return {
        "torch": str(torch.__version__),
        "transformers": version("transformers"),
        "architecture": platform.machine(),
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "ATEN_CPU_CAPABILITY": str(torch.backends.cpu.get_cpu_capability()),
        "precision": str(precision).removeprefix("torch."),
        "threads": str(run.threads),
        "workers": str(workers),
        "deterministic": "as far as the device allows" if cuda else "yes",
    }


def describe_here(run: Run, hidden: int) -> dict[str, str]:
    """What `describe` would say of a run of a model so wide that began here now; nothing is set for this process."""
    device = _device()
    return describe(run, device, choose_precision(run, device, hidden), run.workers)


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What is not as it was: `NAME: BEFORE, now NOW`, in order of name."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [f"{name}: {before.get(name, 'nothing')}, now {now.get(name, 'nothing')}" for name in names]


def _device() -> Any:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def _has_tiles() -> bool:
    """Whether this CPU has AMX. With AVX512-BF16 alone torch multiplied bfloat16 at half the speed of float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
