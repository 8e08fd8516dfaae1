"""A Llama-family model as one GGUF file, which llama.cpp and what is built on it (Ollama, LM Studio) load.

Names, places and the order of rotary dimensions are ggml's: GGUF specification version 3, and llama.cpp's own converter
(convert_hf_to_gguf.py, classes LlamaModel, Qwen2Model and Qwen3Model). Weights go through memory one at a time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import ConfigError, RequestError, StoreError, StudentError, TrainingError
from freehold.serving.bases.base import architecture_of
from freehold.serving.export.source import Source, number
from freehold.serving.export.vocabulary import Vocabulary, vocabulary_of
from freehold.serving.folder import ARCHITECTURES

GgufType = Literal["f32", "f16", "q8_0"]
_BLOCK = 32
"""Numbers that share a scale in q8_0."""
_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMED_HEADS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
"""What Qwen3 has besides."""


class Exported(NamedTuple):
    """What was written."""

    path: Path
    bytes: int
    pre: str
    """llama.cpp's name for how texts are split."""
    context: int
    tensors: int


class _Planned(NamedTuple):
    """A tensor of the file, before its numbers are looked at."""

    name: str
    source: str
    """Its name in the model's folder; empty: it is made from the configuration."""
    shape: tuple[int, ...]
    kind: GgufType


def export_gguf(
    source: Source,
    to: Path,
    kind: GgufType = "f16",
    *,
    name: str = "student",
    context: int | None = None,
) -> Exported:
    """Write a model to a GGUF file, whole or not at all.

    Args:
        source: the model, with its adapter.
        to: a file that does not exist yet.
        kind: of the matrices; vectors are always float32. f32 and f16 answer as the model does; q8_0 nearly.
        name: what the file calls itself.
        context: tokens; the model's own if None.

    Raises:
        RequestError: the file exists.
        ConfigError: the `gguf` library is not installed.
        StudentError: the model's files are damaged, or its tokenizer is none that llama.cpp knows.
        TrainingError: it is of an architecture that is not exported.
        StoreError: the file cannot be written.
    """
    if to.exists():
        raise RequestError(f"{to} exists already.", "Name a file that does not, or move that one away.")
    gguf = _library()
    family = _family(source)
    config = source.config
    vocabulary = vocabulary_of(source.files, int(number(config, "vocab_size")))
    planned = list(_plan(source, kind, family))
    length = context or _context(config)
    chat = source.chat_template
    partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        writer: Any = gguf.GGUFWriter(str(partial), family)
        _describe(writer, gguf, config, name=name, context=length, kind=kind)
        _add_vocabulary(writer, vocabulary, chat.text if chat is not None else "")
        _write(writer, gguf, source, planned, family)
        partial.replace(to)
    except OSError as error:
        raise StoreError(
            f"{to} cannot be written: {error.strerror}.", "Check the folder and its free space."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return Exported(to, to.stat().st_size, vocabulary.pre, length, len(planned))


def _library() -> Any:
    try:
        return import_module("gguf")
    except ImportError as error:
        raise ConfigError("Writing GGUF files needs the gguf library.", "`pip install freehold[gguf]`.") from error


def _family(source: Source) -> str:
    """llama.cpp's name of the architecture: Mistral's is Llama's."""
    architecture = architecture_of(source.config)
    if architecture not in ARCHITECTURES:
        raise TrainingError(
            f"{source.folder} is a {architecture}, which is not exported here.",
            f"Take a model of one of {', '.join(ARCHITECTURES)}.",
        )
    if source.config.get("hidden_act", "silu") != "silu":
        raise TrainingError(
            f"{source.folder} has {source.config['hidden_act']} between its layers, llama.cpp's models silu.",
            "Serve it with `freehold student serve` or vLLM.",
        )
    return {"Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}.get(architecture, "llama")


def _context(config: Mapping[str, Any]) -> int:
    """Tokens within which llama.cpp, which attends to all, answers as a model with a sliding window does."""
    longest = int(number(config, "max_position_embeddings"))
    slides = config.get("sliding_window") and config.get("use_sliding_window", True)
    return min(longest, int(number(config, "sliding_window"))) if slides else longest


def _describe(writer: Any, gguf: Any, config: Mapping[str, Any], *, name: str, context: int, kind: GgufType) -> None:
    heads = int(number(config, "num_attention_heads"))
    size = int(number(config, "head_dim", number(config, "hidden_size") // heads))
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(int(number(config, "hidden_size")))
    writer.add_block_count(int(number(config, "num_hidden_layers")))
    writer.add_feed_forward_length(int(number(config, "intermediate_size")))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(number(config, "num_key_value_heads", heads)))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(number(_rope(config), "rope_theta", number(config, "rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(number(config, "rms_norm_eps", 1e-6))
    writer.add_vocab_size(int(number(config, "vocab_size")))
    types = gguf.LlamaFileType
    file_types = {"f32": types.ALL_F32, "f16": types.MOSTLY_F16, "q8_0": types.MOSTLY_Q8_0}
    writer.add_file_type(file_types[kind])
    if _rope_type(config) == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(number(_rope(config), "factor"))


def _add_vocabulary(writer: Any, vocabulary: Vocabulary, chat: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for which, at in vocabulary.ids.items():
        getattr(writer, f"add_{which}_token_id")(at)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_space_prefix(False)
    if chat:
        writer.add_chat_template(chat)


def _write(writer: Any, gguf: Any, source: Source, planned: list[_Planned], family: str) -> None:
    kinds = gguf.GGMLQuantizationType
    for one in planned:
        numbers = math.prod(one.shape)
        if one.kind == "q8_0":  # 32 numbers of a byte, and their scale in two
            shape = (*one.shape[:-1], one.shape[-1] // _BLOCK * (_BLOCK + 2))
            writer.add_tensor_info(one.name, shape, np.dtype(np.uint8), math.prod(shape), kinds.Q8_0)
        else:
            dtype = np.dtype(np.float16 if one.kind == "f16" else np.float32)
            writer.add_tensor_info(one.name, one.shape, dtype, numbers * dtype.itemsize)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for one in planned:
            value = _value(source, one, family)
            if one.kind == "q8_0":
                value = gguf.quants.quantize(np.ascontiguousarray(value), kinds.Q8_0)
            else:
                value = _narrowed(one, value)
            writer.write_tensor_data(np.ascontiguousarray(value))
    finally:
        writer.close()


def _narrowed(one: _Planned, value: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    if one.kind == "f32":
        return value
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float16)
    if not np.isfinite(narrow).all():
        raise StudentError(f"{one.source} has numbers that float16 cannot hold.", "Export with `--type f32`.")
    return narrow


def _plan(source: Source, kind: GgufType, family: str) -> Iterator[_Planned]:
    layers = int(number(source.config, "num_hidden_layers"))
    wanted = dict(_TOP)
    for layer in range(layers):
        for theirs, ours in (_LAYER | (_NORMED_HEADS if family == "qwen3" else {})).items():
            wanted[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{ours}.weight"
            wanted[f"model.layers.{layer}.{theirs}.bias"] = f"blk.{layer}.{ours}.bias"
    tied = bool(source.config.get("tie_word_embeddings"))
    strange = [name for name in source.tensors if name not in wanted and not name.endswith("rotary_emb.inv_freq")]
    missing = [
        name
        for name in wanted
        if name not in source.tensors and not name.endswith(".bias") and not (tied and name == "lm_head.weight")
    ]
    if strange or missing:
        raise StudentError(
            f"{source.folder} {'has' if strange else 'lacks'} {(strange or missing)[0]}, unlike other models of its "
            "architecture.",
            "Copy the model's folder again; what was added to it cannot be exported.",
        )
    if _rope_type(source.config) == "llama3":
        yield _Planned("rope_freqs.weight", "", (_frequencies(source.config).size,), "f32")
    for theirs, ours in wanted.items():
        if theirs in source.tensors and not (tied and theirs == "lm_head.weight"):
            shape = source.tensors[theirs].shape
            yield _Planned(ours, theirs, shape, _kind(shape, kind))


def _kind(shape: tuple[int, ...], kind: GgufType) -> GgufType:
    if len(shape) == 1:
        return "f32"
    return "f16" if kind == "q8_0" and shape[-1] % _BLOCK else kind


def _value(source: Source, one: _Planned, family: str) -> npt.NDArray[np.float32]:
    if not one.source:
        return _frequencies(source.config)
    value = source.weight(one.source)
    part = one.source.rpartition(".")[0]
    if family != "llama" or not part.endswith(("q_proj", "k_proj")):
        return value
    heads = int(number(source.config, "num_attention_heads"))
    if part.endswith("k_proj"):
        heads = int(number(source.config, "num_key_value_heads", heads))
    # Hugging Face rotates the halves of a head, ggml's llama neighbouring numbers: the rows are put in that order.
    return value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the rotary embedding: transformers 5 calls them `rope_parameters`, earlier ones `rope_scaling`."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _rope_type(config: Mapping[str, Any]) -> str:
    kind = str(_rope(config).get("rope_type") or _rope(config).get("type") or "default")
    if kind not in ("default", "linear", "llama3"):
        raise TrainingError(
            f"The model scales its positions by {kind}, which is not exported here.",
            "Serve it with `freehold student serve` or vLLM.",
        )
    return kind


def _frequencies(config: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """What Llama 3.1 divides its rotary frequencies by: 1 for short waves, `factor` for long, a ramp between."""
    rope = _rope(config)
    factor, low, high = (
        number(rope, "factor"),
        number(rope, "low_freq_factor", 1.0),
        number(rope, "high_freq_factor", 4.0),
    )
    original = number(rope, "original_max_position_embeddings", 8192)
    size = int(number(config, "head_dim", number(config, "hidden_size") // number(config, "num_attention_heads")))
    theta = number(rope, "rope_theta", number(config, "rope_theta", 10000.0))
    waves = 2 * math.pi * theta ** (np.arange(0, size, 2, dtype=np.float64) / size)
    smooth = (original / waves - low) / (high - low)
    ramp = 1 / ((1 - smooth) / factor + smooth)
    found = np.where(waves < original / high, 1.0, np.where(waves > original / low, factor, ramp))
    return found.astype(np.float32)
