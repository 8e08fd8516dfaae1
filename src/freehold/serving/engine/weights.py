"""A model's weights, laid out for few and quick operations.

Four matrices per layer instead of seven, each stored transposed (in, out), since row-major products of a few rows are
then twice as quick. What can be computed once is computed once: the norms' weights and the scale of the attention are
multiplied in, the rotary pairs lie side by side (so that a turn is one complex product), the gate is negated (so that
silu needs no minus) and the down projection with it. LoRA factors are laid out by the same rules (`adapters`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.domain.errors import StudentError
from freehold.serving.engine.config import ModelConfig

PARTS: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""Fused matrix → the model's own, in order of their outputs."""
_NORM = {"qkv": "input_layernorm", "gate_up": "post_attention_layernorm"}
"""The norm whose weight is multiplied into a matrix."""
_RESTORE = "Put the model's folder back from a backup, or train the student again."


class Layer(NamedTuple):
    """Matrices by part, each (in, out), and biases (out,) or None. torch tensors on the model's device."""

    matrices: dict[str, Any]
    biases: dict[str, Any]
    heads: Any
    """(heads + kv_heads, head_dim): what normed queries and keys are multiplied by, or None where none are normed."""


class Weights(NamedTuple):
    """All of a model: torch tensors; on the CPU numpy sees the same memory."""

    embedding: Any
    """(vocabulary, hidden)."""
    layers: list[Layer]
    head: Any
    """(hidden, vocabulary), the last norm's weight multiplied in."""


class Layout:
    """How the rows of each of a model's own matrices are changed before they are fused."""

    def __init__(self, config: ModelConfig) -> None:
        half = config.head_dim // 2
        torch: Any = import_module("torch")
        self.config = config
        self._pairs: Any = torch.arange(config.head_dim).reshape(2, half).T.reshape(-1)

    def rows(self, name: str, tensor: Any) -> Any:
        """`tensor` (out, …) of the matrix `name` (one of `PARTS`' values), its outputs as the engine wants them."""
        config = self.config
        if name in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = tensor.reshape(-1, config.head_dim, *tensor.shape[1:])[:, self._pairs]
            tensor = heads.reshape(tensor.shape)
        if name == "self_attn.q_proj" and not config.normed_heads:
            return tensor * config.head_dim**-0.5
        return -tensor if name in ("mlp.gate_proj", "mlp.down_proj") else tensor

    def heads(self, queries: Any, keys: Any) -> Any:
        """The norms' weights (head_dim,) of queries and keys as `Layer.heads`, the scale of the attention within."""
        config = self.config
        queries, keys = queries[self._pairs] * config.head_dim**-0.5, keys[self._pairs]
        return import_module("torch").cat([queries.expand(config.heads, -1), keys.expand(config.kv_heads, -1)])

    def shape(self, name: str) -> tuple[int, int]:
        """(out, in) of a matrix."""
        config = self.config
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        return {
            "self_attn.q_proj": (queries, config.hidden),
            "self_attn.k_proj": (keys, config.hidden),
            "self_attn.v_proj": (keys, config.hidden),
            "self_attn.o_proj": (config.hidden, queries),
            "mlp.gate_proj": (config.intermediate, config.hidden),
            "mlp.up_proj": (config.intermediate, config.hidden),
            "mlp.down_proj": (config.hidden, config.intermediate),
        }[name]


def norms_of(folder: Path, config: ModelConfig) -> list[dict[str, Any]]:
    """Per layer: part → the norm's weight (hidden,) that is multiplied into what the part takes in."""
    read = open_tensors(folder)
    return [
        {part: read(f"model.layers.{number}.{norm}.weight").clone() for part, norm in _NORM.items()}
        for number in range(config.layers)
    ]


def load_weights(folder: Path, config: ModelConfig, device: str, dtype: Any) -> Weights:
    """The weights in the safetensors files of `folder`, laid out; computed in float32 and then made `dtype`.

    Raises:
        StudentError: a tensor is missing or of another shape than `config` says, or a file is not readable.
    """
    read = open_tensors(folder)
    layout = Layout(config)
    norms = norms_of(folder, config)

    def put(tensor: Any) -> Any:
        return tensor.to(device=device, dtype=dtype).contiguous()

    def checked(name: str, shape: tuple[int, ...]) -> Any:
        tensor = read(name)
        if tuple(tensor.shape) != shape:
            what = f"{name} is {tuple(tensor.shape)} where config.json says {shape}"
            raise StudentError(f"The model in {folder} does not fit together: {what}.", _RESTORE)
        return tensor

    layers = [_layer(number, layout, norms[number], checked, read, put) for number in range(config.layers)]
    embedding = checked("model.embed_tokens.weight", (config.vocabulary, config.hidden))
    head = embedding if config.tied else checked("lm_head.weight", (config.vocabulary, config.hidden))
    last = checked("model.norm.weight", (config.hidden,))
    # A copy: what was read lies in the file's own pages, and files may be replaced while their model still answers.
    return Weights(put(embedding.clone()), layers, put((head * last).T))


def _layer(
    number: int,
    layout: Layout,
    norms: dict[str, Any],
    checked: Callable[[str, tuple[int, ...]], Any],
    read: Callable[..., Any],
    put: Callable[[Any], Any],
) -> Layer:
    torch: Any = import_module("torch")
    matrices: dict[str, Any] = {}
    biases: dict[str, Any] = {}
    for part, names in PARTS.items():
        own = [checked(f"model.layers.{number}.{name}.weight", layout.shape(name)) for name in names]
        fused = torch.cat([layout.rows(name, tensor) for name, tensor in zip(names, own, strict=True)])
        matrices[part] = put((fused * norms[part] if part in norms else fused).T)
        offsets = [read(f"model.layers.{number}.{name}.bias", missing=None) for name in names]
        biases[part] = None
        if any(offset is not None for offset in offsets):
            whole = [
                torch.zeros(layout.shape(name)[0]) if offset is None else layout.rows(name, offset)
                for name, offset in zip(names, offsets, strict=True)
            ]
            # The down projection's sign is for what it takes in; what it adds keeps its own.
            biases[part] = put(-whole[0] if part == "down" else torch.cat(whole))
    heads = None
    if layout.config.normed_heads:
        names = (f"model.layers.{number}.self_attn.{which}_norm.weight" for which in "qk")
        heads = put(layout.heads(*(checked(name, (layout.config.head_dim,)) for name in names)))
    return Layer(matrices, biases, heads)


_REQUIRED = object()


def open_tensors(folder: Path) -> Callable[..., Any]:
    """A function from a tensor's name to the tensor in float32 on the CPU, out of one safetensors file or several.

    Raises:
        StudentError: no safetensors file, one that is not readable, or (when called) no such tensor.
    """
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    try:
        shards = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values() if index.exists() else ()
        names = sorted(set(shards)) or ["model.safetensors"]
        files: list[Any] = [safe_open(str(folder / name), framework="pt") for name in names]
    except (OSError, SafetensorError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StudentError(f"The weights in {folder} cannot be read: {error}.", _RESTORE) from error
    where: dict[str, Any] = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # it is no mapping

    def read(name: str, missing: Any = _REQUIRED) -> Any:
        file = where.get(name)
        if file is not None:
            return file.get_tensor(name).float()
        if missing is _REQUIRED:
            raise StudentError(f"The weights in {folder} have no tensor {name}.", _RESTORE)
        return missing

    return read


class _Index(msgspec.Struct):
    weight_map: dict[str, str]
