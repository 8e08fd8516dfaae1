"""What a base model is: read off its folder, without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from freehold.domain.errors import StudentError, TrainingError
from freehold.serving.bases.files import CONFIG, TOKENIZER
from freehold.serving.bases.rights import BaseRights
from freehold.serving.bases.weights import TensorAt, main_dtype, tensors_in
from freehold.serving.chat_template import read_chat_template
from freehold.serving.folder import ARCHITECTURES, BaseUsed

LORA_RANK = 16
BATCH_TOKENS = 2048
SERVED_TOKENS = 8192
"""What the figures of `Memory` are for: a recipe's defaults, and 32 requests of 256 tokens at once."""
_DTYPE_BYTES = {"F64": 8, "F32": 4}
_DTYPE_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_INDEX = "model.safetensors.index.json"


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are needed, about."""

    train_full: int
    """16 per parameter (weights, gradients and AdamW's two moments in float32), and the activations of a batch."""
    train_lora: int
    """The weights as stored, 16 per parameter of an adapter on all linear layers, and the activations."""
    serve: int
    """The weights as stored, and keys and values of `SERVED_TOKENS` tokens."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that memory follows from."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base model that may be used: everything about it was checked."""

    name: str
    folder: Path
    source: str
    """`folder` or `hub`: how it came here."""
    used: BaseUsed
    """What a student that is made from it says of it."""
    architecture: str
    """As its config.json names it."""
    shape: Shape
    parameters: int
    dtype: str
    """That most weights are stored in."""
    size: int
    """Bytes of its weights."""
    chat_template: str
    """Jinja; empty where it has none: then it has not been taught to chat."""
    memory: Memory
    rights: BaseRights
    beside: tuple[str, ...] = ()
    """Files in the folder that are never opened (pickles)."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder's files say, before hashes and rights."""

    architecture: str
    shape: Shape
    context: int
    parameters: int
    dtype: str
    size: int
    chat_template: str
    memory: Memory


def facts_of(files: Mapping[str, Path]) -> Facts:
    """Read a folder's `safe_files`.

    Raises:
        StudentError: a file is missing, cut off or no JSON.
        TrainingError: it is of an architecture that is not served here, quantised, or needs code of its own.
    """
    folder = files[CONFIG].parent
    config = _json(files[CONFIG])
    architecture = _architecture(folder, config)
    if TOKENIZER not in files:
        raise StudentError(
            f"{folder} has no {TOKENIZER}.",
            "Save the model's fast tokenizer beside it: AutoTokenizer.from_pretrained(…).save_pretrained(…).",
        )
    _check_index(folder, files)
    tensors = tensors_in([path for name, path in files.items() if name.endswith(".safetensors")])
    shape = _shape(folder, config)
    _check_weights(folder, tensors, shape)
    template = read_chat_template(folder)
    counted = [tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")]
    parameters, size = sum(tensor.numbers for tensor in counted), sum(tensor.size for tensor in counted)
    return Facts(
        architecture=architecture,
        shape=shape,
        context=_number(folder, config, "max_position_embeddings"),
        parameters=parameters,
        dtype=_DTYPE_NAMES.get(main_dtype(tensors), main_dtype(tensors)),
        size=size,
        chat_template=template.text if template is not None else "",
        memory=_memory(shape, parameters, size, _DTYPE_BYTES.get(main_dtype(tensors), 2)),
    )


def require_chat_template(base: Base) -> str:
    """The base's chat template, where a recipe needs one.

    Raises:
        TrainingError: it has none.
    """
    if base.chat_template:
        return base.chat_template
    raise TrainingError(
        f"The base model {base.name} has no chat template, so nobody knows how it is to be asked.",
        "Take the model's instruction-tuned version, or put a chat_template.jinja into its folder.",
    )


def architecture_of(config: Mapping[str, Any]) -> str:
    """What a config.json calls the architecture."""
    named = config.get("architectures")
    if isinstance(named, list) and named:
        return str(cast("list[Any]", named)[0])
    return str(config.get("model_type") or "model of no named architecture")


def _architecture(folder: Path, config: Mapping[str, Any]) -> str:
    architecture = architecture_of(config)
    if config.get("auto_map"):
        raise TrainingError(
            f"{folder} wants code of its own to be run (auto_map in config.json): that is never done.",
            f"Take a model of one of {', '.join(ARCHITECTURES)}.",
        )
    if architecture not in ARCHITECTURES:
        raise TrainingError(
            f"{folder} is a {architecture}, which students are not made from here.",
            f"Take a model of one of {', '.join(ARCHITECTURES)}.",
        )
    if config.get("quantization_config"):
        raise TrainingError(
            f"{folder} has quantised weights, which cannot be trained.",
            "Take the model's weights in bfloat16, float16 or float32.",
        )
    return architecture


def _shape(folder: Path, config: Mapping[str, Any]) -> Shape:
    hidden, heads = _number(folder, config, "hidden_size"), _number(folder, config, "num_attention_heads")
    return Shape(
        hidden=hidden,
        layers=_number(folder, config, "num_hidden_layers"),
        heads=heads,
        kv_heads=_number(folder, config, "num_key_value_heads", heads),
        head_size=_number(folder, config, "head_dim", hidden // heads),
        intermediate=_number(folder, config, "intermediate_size"),
        vocabulary=_number(folder, config, "vocab_size"),
    )


def _number(folder: Path, config: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StudentError(f"{folder}/config.json has {name} = {value!r}.", "Take the config.json of the model.")
    return value


def _check_index(folder: Path, files: Mapping[str, Path]) -> None:
    if _INDEX not in files:
        return
    named = _json(files[_INDEX]).get("weight_map")
    wanted = {str(name) for name in cast("dict[str, Any]", named).values()} if isinstance(named, dict) else set[str]()
    missing = sorted(wanted - set(files))
    if missing:
        raise StudentError(
            f"{folder} lacks {len(missing)} of its {len(wanted)} files of weights, {missing[0]} among them.",
            "Copy the model's folder again, or fetch it with `freehold models fetch NAME`.",
        )


def _check_weights(folder: Path, tensors: Mapping[str, TensorAt], shape: Shape) -> None:
    embedding = tensors.get("model.embed_tokens.weight")
    if embedding is None:
        raise StudentError(
            f"{folder} has no model.embed_tokens.weight: it holds no whole language model.",
            "If it is an adapter, name its base model instead.",
        )
    if embedding.shape != (shape.vocabulary, shape.hidden):
        raise StudentError(
            f"{folder}: config.json says {shape.vocabulary} tokens of {shape.hidden} numbers, the weights have "
            f"{' of '.join(map(str, embedding.shape))}.",
            "Take config.json and weights of one version of the model.",
        )


def _memory(shape: Shape, parameters: int, size: int, number: int) -> Memory:
    # Activations: 34 bytes per hidden number, layer and token (Korthikanti et al. 2022, section 4.1, without the
    # scores, which fused attention does not keep), and logits, their softmax and its gradient in float32.
    activations = BATCH_TOKENS * (34 * shape.hidden * shape.layers + 12 * shape.vocabulary)
    attention = shape.head_size * (2 * shape.heads + 2 * shape.kv_heads) + 4 * shape.hidden
    adapter = LORA_RANK * shape.layers * (attention + 3 * (shape.hidden + shape.intermediate))
    kept = 2 * shape.layers * shape.kv_heads * shape.head_size * number * SERVED_TOKENS
    return Memory(
        train_full=16 * parameters + activations, train_lora=size + 16 * adapter + activations, serve=size + kept
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, OSError, RecursionError) as error:
        raise StudentError(f"{path} cannot be read as JSON: {error}.", "Copy the model's folder again.") from error
