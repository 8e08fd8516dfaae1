"""What `config.json` says of a model, and which models the engine can compute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError
from freehold.serving.folder import ARCHITECTURES

_NORMED_HEADS = "Qwen3ForCausalLM"
_T = TypeVar("_T", bound=msgspec.Struct)
_ELSEWHERE = "Serve it with vLLM, or export it for llama.cpp (`freehold student export`), and name that server's URL."


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a Llama-like `config.json`, under transformers' names; others are not looked at."""

    architectures: tuple[str, ...] = ()
    model_type: str = ""
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    hidden_act: str = "silu"
    tie_word_embeddings: bool = False
    rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    partial_rotary_factor: float | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    eos_token_id: int | list[int] | None = None


class _Generation(msgspec.Struct, frozen=True, kw_only=True):
    eos_token_id: int | list[int] | None = None


class ModelConfig(NamedTuple):
    """The shape of a decoder of the Llama family."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    normed_heads: bool
    """Queries and keys are normed head by head before they are turned (Qwen3)."""
    vocabulary: int
    context: int
    """Positions it was made for; never more than its sliding window, within which a window changes nothing."""
    epsilon: float
    tied: bool
    rope: dict[str, Any]
    ends: tuple[int, ...]
    """Tokens that end an answer."""


def read_config(folder: Path) -> ModelConfig:
    """The model in `folder`, by its `config.json` and `generation_config.json`.

    Raises:
        StudentError: a file is missing or not readable, or the engine cannot compute such a model.
    """
    file = _decode(folder / "config.json", _File)
    if not set(file.architectures) & set(ARCHITECTURES):
        name = ", ".join(file.architectures) or file.model_type or "an unknown architecture"
        raise StudentError(
            f"The model in {folder} is {name}; the engine computes {', '.join(ARCHITECTURES)}.", _ELSEWHERE
        )
    rope = _rope(file)
    kind = rope.get("rope_type", "default")
    if (
        file.hidden_act != "silu"
        or kind not in ("default", "linear", "llama3")
        or file.partial_rotary_factor not in (None, 1.0)
    ):
        what = f"activation {file.hidden_act}, rotary embedding {kind}, partial factor {file.partial_rotary_factor}"
        raise StudentError(f"The model in {folder} has {what}: the engine cannot compute that.", _ELSEWHERE)
    generation = folder / "generation_config.json"
    ends = _decode(generation, _Generation).eos_token_id if generation.exists() else None
    ends = file.eos_token_id if ends is None else ends
    return ModelConfig(
        hidden=file.hidden_size,
        intermediate=file.intermediate_size,
        layers=file.num_hidden_layers,
        heads=file.num_attention_heads,
        kv_heads=file.num_key_value_heads or file.num_attention_heads,
        head_dim=file.head_dim or file.hidden_size // file.num_attention_heads,
        normed_heads=_NORMED_HEADS in file.architectures,
        vocabulary=file.vocab_size,
        context=_context(file),
        epsilon=file.rms_norm_eps,
        tied=file.tie_word_embeddings,
        rope=rope,
        ends=tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,),
    )


def rotations(config: ModelConfig, context: int) -> npt.NDArray[np.complex64]:
    """cos + i sin of the angles that a head's pairs of numbers are turned by at each position: (context, head_dim / 2).

    Su et al. 2021; scaled as Llama 3 does where the configuration says so (as transformers' `rope_type = "llama3"`).
    """
    half = config.head_dim // 2
    frequencies = 1.0 / float(config.rope["rope_theta"]) ** (np.arange(half) / half)
    kind = config.rope.get("rope_type", "default")
    if kind == "linear":
        frequencies = frequencies / float(config.rope["factor"])
    elif kind == "llama3":
        frequencies = _llama3(frequencies, config.rope)
    angles = np.outer(np.arange(context), frequencies)
    return np.exp(1j * angles).astype(np.complex64)


def _llama3(frequencies: npt.NDArray[np.float64], rope: dict[str, Any]) -> npt.NDArray[np.float64]:
    factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    original = float(rope["original_max_position_embeddings"])
    waves = original * frequencies / (2 * math.pi)
    smooth = np.clip((waves - low) / (high - low), 0.0, 1.0)
    return frequencies * (smooth + (1 - smooth) / factor)


def _rope(file: _File) -> dict[str, Any]:
    rope = {**(file.rope_scaling or {}), **(file.rope_parameters or {})}
    rope.setdefault("rope_type", rope.get("type", "default"))
    rope.setdefault("rope_theta", file.rope_theta or 10_000.0)
    return rope


def _context(file: _File) -> int:
    windowed = file.sliding_window is not None and file.use_sliding_window is not False
    return min(file.max_position_embeddings, file.sliding_window or 0) if windowed else file.max_position_embeddings


def _decode(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StudentError(f"{path} cannot be read: {error.strerror}.", "Put the model's folder back.") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StudentError(f"{path} is not what transformers writes: {error}.", _ELSEWHERE) from error
