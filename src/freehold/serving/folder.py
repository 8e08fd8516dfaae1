"""What the folder of a generative student holds.

    manifest.json         `GenerativeManifest`, and the SHA-256 of every other file under `files`
    tensors.safetensors   the gate's vocabulary, and what was measured on the tune rows
    model/                full weights: a Hugging Face folder (config.json, model.safetensors, tokenizer.json, …)
    adapter/              or a LoRA adapter in peft's form, for the base that the manifest names

The gateway reads the first two; the student server all.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

MODEL = "model"
ADAPTER = "adapter"
VERSION = 1
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Decoders that students are trained from, served and exported as here."""


class BaseUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The base model that an adapter or full weights were trained from."""

    name: str
    sha256: str
    """Over the lines `SHA256  NAME` of its safetensors, config and tokenizer files in order of name."""
    licence: str
    context: int


class GenerativeManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A generative student, as it is stored."""

    kind: Literal["generative"] = "generative"
    version: int = VERSION
    task: str
    dataset: str
    dataset_sha256: str
    seed: int
    recipe: dict[str, Any]
    """The whole recipe, as it was used."""
    weights: Literal["full", "adapter"]
    base: BaseUsed | None = None
    """None: from random weights."""
    context: int
    """Tokens that prompt and answer may have together."""
    max_answer_tokens: int
    answer_schema: str = ""
    """The JSON Schema that its answers are kept to, as all that it learned from were asked for; empty: none."""
    parameters: int
    """All that answer, those of the base included."""
    input_tokens_fixed: float
    input_tokens_per_character: float
    output_tokens_per_character: float
