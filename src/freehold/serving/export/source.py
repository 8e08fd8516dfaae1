"""The weights that are exported: a model's folder, with an adapter merged into them where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError
from freehold.serving.bases.files import safe_files
from freehold.serving.bases.weights import TensorAt, as_floats, tensors_in
from freehold.serving.chat_template import ChatTemplate, read_chat_template
from freehold.serving.folder import ADAPTER, MODEL

_PREFIX = "base_model.model."
_AGAIN = "Train the student again on this base, or name the base that it was trained on."


class Adapter(NamedTuple):
    """A LoRA adapter in peft's form."""

    tensors: dict[str, TensorAt]
    """Of A and B, by peft's names."""
    scale: float
    """alpha / rank, or alpha / √rank where it says so (rank-stabilised: Kalajdzievski 2023)."""

    def change(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
        """What is added to the weight `name`, in its shape; None where the adapter leaves it as it is.

        Raises:
            StudentError: the adapter was made for weights of another shape.
        """
        stem = _PREFIX + name.removesuffix(".weight")
        down, up = self.tensors.get(f"{stem}.lora_A.weight"), self.tensors.get(f"{stem}.lora_B.weight")
        if down is None or up is None:
            return None
        if (up.shape[0], down.shape[1]) != shape or up.shape[1] != down.shape[0]:
            raise StudentError(
                f"The adapter was made for another base: it changes {name} as {up.shape[0]}×{down.shape[1]}, which is "
                f"{'×'.join(map(str, shape))} here.",
                _AGAIN,
            )
        return (as_floats(up) @ as_floats(down)) * np.float32(self.scale)


class Source(NamedTuple):
    """A whole language model, on disk."""

    folder: Path
    """With config.json and the tokenizer."""
    files: dict[str, Path]
    config: dict[str, Any]
    tensors: dict[str, TensorAt]
    adapter: Adapter | None = None

    @property
    def chat_template(self) -> ChatTemplate | None:
        """How one asks it; None if its folder does not say.

        Raises:
            TrainingError: a file cannot be read.
        """
        return read_chat_template(self.folder)

    def weight(self, name: str) -> npt.NDArray[np.float32]:
        """A weight in its shape, the adapter merged into it.

        Raises:
            StudentError: it cannot be read, or the adapter does not fit.
        """
        tensor = self.tensors[name]
        change = self.adapter.change(name, tensor.shape) if self.adapter is not None else None
        value = as_floats(tensor)
        return value if change is None else value + change


def source_of(folder: Path, base: Path | None = None) -> Source:
    """What lies in a student's folder (`model/`, or `adapter/` and its base), or in a model's own.

    Args:
        folder: of a student or of a Hugging Face model.
        base: the base model's folder, where the student is an adapter.

    Raises:
        StudentError: files are missing or damaged, or the adapter is for another base.
    """
    if (folder / MODEL).is_dir():
        return _whole(folder / MODEL)
    if not (folder / ADAPTER).is_dir():
        return _whole(folder)
    if base is None:
        raise StudentError(f"{folder} is an adapter, and its base model was not given.", _AGAIN)
    whole = _whole(base)
    adapter = _adapter(folder / ADAPTER)
    known = {_PREFIX + name.removesuffix(".weight") for name in whole.tensors}
    for name in adapter.tensors:
        if name.rpartition(".lora_")[0] not in known:
            raise StudentError(
                f"The adapter was made for another base: it changes {name.removeprefix(_PREFIX)}, which this one has "
                "not.",
                _AGAIN,
            )
    return whole._replace(adapter=adapter)


def _whole(folder: Path) -> Source:
    files = safe_files(folder)
    tensors = tensors_in([path for name, path in files.items() if name.endswith(".safetensors")])
    return Source(folder, files, _json(files["config.json"]), tensors)


def _adapter(folder: Path) -> Adapter:
    config = _json(folder / "adapter_config.json")
    for name, what in (
        ("use_dora", "DoRA"), ("modules_to_save", "whole layers"), ("rank_pattern", "several ranks"),
        ("alpha_pattern", "several scales"), ("fan_in_fan_out", "transposed weights"),
        ("trainable_token_indices", "tokens of its own"),
    ):  # fmt: skip
        if config.get(name):
            raise StudentError(f"{folder} is an adapter with {what}, which is not merged here.", "Merge it with peft.")
    if config.get("peft_type", "LORA") != "LORA" or config.get("bias", "none") != "none":
        raise StudentError(f"{folder} is no plain LoRA adapter.", "Merge it with peft.")
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (KeyError, TypeError, ValueError) as error:
        raise StudentError(f"{folder}/adapter_config.json says no rank and alpha.", "Train it again.") from error
    return Adapter(
        tensors_in([folder / "adapter_model.safetensors"]),
        alpha / (math.sqrt(rank) if config.get("use_rslora") else rank),
    )


def number(config: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A figure of a config.json.

    Raises:
        StudentError: it is missing, or none.
    """
    value = config.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StudentError(f"config.json has {name} = {value!r}.", "Take the config.json of the model.")
    return value


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, OSError, RecursionError) as error:
        raise StudentError(f"{path} cannot be read: {error}.", "Copy the folder again.") from error
