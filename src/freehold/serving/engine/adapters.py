"""LoRA adapters (Hu et al. 2021) in peft's form, and what several of them add to the rows of one batch.

All adapters that a batch uses are set side by side: one product with all of their first factors, the columns of other
rows' adapters set to zero, one product with all of their second ones. So a batch costs the same number of operations
whatever it mixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.domain.errors import StudentError
from freehold.serving.engine.config import ModelConfig
from freehold.serving.engine.weights import PARTS, Layout

_HINT = "Train the adapter again on this base, or name the base it was trained on."


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `adapter_config.json` that change what an adapter computes."""

    peft_type: str = "LORA"
    r: int
    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    alpha_pattern: dict[str, Any] | None = None
    modules_to_save: list[str] | None = None


class Factors(NamedTuple):
    """Of one part of one layer: `down` (in, rank) and `up` (rank, out). A fused part's rank is the sum of its own."""

    down: Any
    up: Any


class Adapter:
    """One adapter, laid out for its base. Told from others by being itself: a name may get other weights."""

    def __init__(self, name: str, layers: list[dict[str, Factors]]) -> None:
        self.name = name
        self.layers = layers
        """By part; parts that it leaves alone are not there."""


def load_adapter(name: str, folder: Path, config: ModelConfig, norms: list[dict[str, Any]], like: Any) -> Adapter:
    """The adapter in `folder` for a base of shape `config`; `norms` is the base's (`weights.norms_of`).

    Args:
        like: a tensor whose device and number type the factors get.

    Raises:
        StudentError: a file is missing or not readable, it is no plain LoRA adapter, or it is for another base.
    """
    torch: Any = import_module("torch")
    file = _read_config(folder)
    tensors = _read_tensors(folder)
    scale = file.lora_alpha / (file.r**0.5 if file.use_rslora else file.r)
    layout = Layout(config)
    used: set[str] = set()
    layers: list[dict[str, Factors]] = []
    for number in range(config.layers):
        parts: dict[str, Factors] = {}
        for part, names in PARTS.items():
            downs: list[Any] = []
            ups: list[Any] = []
            offset, width = 0, sum(layout.shape(own)[0] for own in names)
            for own in names:
                out = layout.shape(own)[0]
                key = f"base_model.model.model.layers.{number}.{own}.lora_"
                if f"{key}A.weight" in tensors:
                    down, up = tensors[f"{key}A.weight"], tensors[f"{key}B.weight"]
                    used |= {f"{key}A.weight", f"{key}B.weight"}
                    _check(folder, own, down, up, layout.shape(own))
                    norm = norms[number].get(part)
                    downs.append(down if norm is None else down * norm)
                    whole = torch.zeros(width, up.shape[1])
                    whole[offset : offset + out] = layout.rows(own, up) * scale
                    ups.append(whole)
                offset += out
            if downs:
                parts[part] = Factors(
                    torch.cat(downs).T.contiguous().to(like), torch.cat(ups, 1).T.contiguous().to(like)
                )
        layers.append(parts)
    if set(tensors) - used:
        odd = sorted(set(tensors) - used)[0]
        raise StudentError(
            f"The adapter in {folder} changes {odd}, which this base has not, or the engine cannot.", _HINT
        )
    ranks = [{part: factors.down.shape[1] for part, factors in parts.items()} for parts in layers]
    if any(one != ranks[0] for one in ranks):
        raise StudentError(f"The adapter in {folder} has other ranks in other layers.", "Serve it with vLLM.")
    return Adapter(name, layers)


class Mix:
    """Several adapters side by side, for batches that use just these."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        torch: Any = import_module("torch")
        self.adapters = tuple(adapters)
        self.layers: list[dict[str, Factors]] = []
        self.columns: dict[str, list[tuple[int, int]]] = {}
        self.arrays: list[dict[str, Factors]] = []
        """On the CPU in float32: `layers` as numpy sees them."""
        for number in range(len(adapters[0].layers)):
            parts: dict[str, Factors] = {}
            for part in PARTS:
                factors = [adapter.layers[number].get(part) for adapter in adapters]
                there = [one for one in factors if one is not None]
                if there:
                    parts[part] = Factors(
                        torch.cat([one.down for one in there], 1), torch.cat([one.up for one in there])
                    )
            self.layers.append(parts)
            if all(str(one.down.dtype) == "torch.float32" and one.down.is_cpu for one in parts.values()):
                self.arrays.append({part: Factors(one.down.numpy(), one.up.numpy()) for part, one in parts.items()})
        # All layers of an adapter have the same ranks (one `r`), so a part's columns are the same in each.
        for part in self.layers[0]:
            start = 0
            self.columns[part] = []
            for adapter in adapters:
                rank = adapter.layers[0][part].down.shape[1] if part in adapter.layers[0] else 0
                self.columns[part].append((start, start + rank))
                start += rank

    def masks(self, rows: Sequence[int]) -> dict[str, Any]:
        """By part: (rows, all ranks), 1 where the row's adapter (index into `adapters`; -1: none) has its columns."""
        torch: Any = import_module("torch")
        found: dict[str, Any] = {}
        for part, columns in self.columns.items():
            like = self.layers[0][part].down
            mask = torch.zeros(len(rows), like.shape[1])
            for row, adapter in enumerate(rows):
                if adapter >= 0:
                    mask[row, columns[adapter][0] : columns[adapter][1]] = 1
            found[part] = mask.to(like)
        return found


def _check(folder: Path, name: str, down: Any, up: Any, shape: tuple[int, int]) -> None:
    if (up.shape[0], down.shape[1]) != shape or up.shape[1] != down.shape[0]:
        what = f"{name} is {up.shape[0]} by {down.shape[1]} where the base has {shape[0]} by {shape[1]}"
        raise StudentError(f"The adapter in {folder} is for another base: {what}.", _HINT)


def _read_config(folder: Path) -> _File:
    path = folder / "adapter_config.json"
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StudentError(f"{path} is not the configuration of a LoRA adapter: {error}.", _HINT) from error
    odd = [file.use_dora, file.bias != "none", file.fan_in_fan_out, file.alpha_pattern, file.modules_to_save]
    if file.peft_type != "LORA" or any(odd):
        what = "DoRA, biases, patterns of alpha and whole modules are not computed here"
        raise StudentError(f"The adapter in {folder} is no plain LoRA adapter: {what}.", "Serve it with vLLM.")
    return file


def _read_tensors(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    path = folder / "adapter_model.safetensors"
    try:
        return {name: tensor.float() for name, tensor in load_file(str(path)).items()}
    except (OSError, SafetensorError) as error:
        raise StudentError(f"{path} cannot be read: {error}.", _HINT) from error
