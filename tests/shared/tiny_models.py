"""Tiny models in Hugging Face's form, made on the fly without torch: random weights, and a tokenizer of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from safetensors.numpy import save_file
from tokenizers import decoders, models, pre_tokenizers, trainers

TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>")
TEXTS = [
    f"Ticket {number}: the {what} in room {number % 7} is broken, please send somebody by {number % 12} o'clock."
    for number in range(60)
    for what in ("printer", "lamp", "door", "window", "heating")
]
LAYER = {
    "self_attn.q_proj": ("q", "h"), "self_attn.k_proj": ("kv", "h"), "self_attn.v_proj": ("kv", "h"),
    "self_attn.o_proj": ("h", "q"), "mlp.gate_proj": ("i", "h"), "mlp.up_proj": ("i", "h"), "mlp.down_proj": ("h", "i"),
}  # fmt: skip


def digits_and_bytes() -> Any:
    """How tokenizers of students from scratch split texts."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def make_tokenizer(folder: Path, *, splitting: Any = None, vocabulary: int = 400, template: str = TEMPLATE) -> int:
    """Write tokenizer.json and tokenizer_config.json; gives the number of tokens."""
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = splitting or digits_and_bytes()
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(core.to_str())
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "add_bos_token": False,
        "additional_special_tokens": list(SPECIAL[2:]),
    }
    if template:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return core.get_vocab_size()


def make_model(
    folder: Path,
    *,
    architecture: str = "LlamaForCausalLM",
    hidden: int = 32,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate: int = 64,
    tied: bool = True,
    seed: int = 0,
    licence: str = "apache-2.0",
    config: dict[str, Any] | None = None,
    **tokenizer: Any,
) -> Path:
    """Write a whole model; `licence`: declared in its card, empty for no card."""
    size = make_tokenizer(folder, **tokenizer)
    random = np.random.default_rng(seed)
    sizes = {"h": hidden, "q": hidden, "kv": hidden // heads * kv_heads, "i": intermediate}
    tensors = {"model.embed_tokens.weight": random.normal(0, 0.5, (size, hidden))}
    for layer in range(layers):
        stem = f"model.layers.{layer}."
        for name, (rows, columns) in LAYER.items():
            shape = (sizes[rows], sizes[columns])
            tensors[f"{stem}{name}.weight"] = random.normal(0, 1.5 / sizes[columns] ** 0.5, shape)
            if architecture == "Qwen2ForCausalLM" and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                tensors[f"{stem}{name}.bias"] = random.normal(0, 0.3, sizes[rows])
        if architecture == "Qwen3ForCausalLM":
            for which in ("q_norm", "k_norm"):
                tensors[f"{stem}self_attn.{which}.weight"] = random.normal(1, 0.1, hidden // heads)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{stem}{name}.weight"] = random.normal(1, 0.1, hidden)
    tensors["model.norm.weight"] = random.normal(1, 0.1, hidden)
    if not tied:
        tensors["lm_head.weight"] = random.normal(0, 0.5, (size, hidden))
    save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, folder / "model.safetensors")
    written = {
        "architectures": [architecture],
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": 256,
        "vocab_size": size,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": None,
        **(config or {}),
    }
    (folder / "config.json").write_text(json.dumps(written))
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A tiny model\n")
    return folder


def make_adapter(folder: Path, *, hidden: int = 32, layers: int = 2, rank: int = 4, seed: int = 1) -> Path:
    """Write a LoRA adapter on `q_proj` and `v_proj` in peft's form, for `make_model`'s usual shapes."""
    random = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for layer in range(layers):
        for name, rows in (("q_proj", hidden), ("v_proj", hidden // 2)):
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 0.5, (rank, hidden)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, 0.5, (rows, rank)).astype(np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "tiny"}))
    return folder
