"""LoRA on a base of a billion random weights where there is a GPU; the same on a tiny one where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_runs
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from freehold.train.generative.loop import train
from freehold.train.recipes import Adapter

CUDA = torch.cuda.is_available()
SIZES: dict[str, Any] = (
    {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32}
    if CUDA
    else {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
)


def test_an_adapter_learns_on_a_large_base(tmp_path: Path) -> None:
    vocabulary = 32_000 if CUDA else tiny_runs.VOCABULARY
    config = LlamaConfig(
        **SIZES, num_key_value_heads=4, vocab_size=vocabulary, eos_token_id=tiny_runs.END, dtype="bfloat16"
    )
    torch.manual_seed(0)
    base: Any
    with torch.device("cuda" if CUDA else "cpu"):
        base = LlamaForCausalLM(config)
    base.to(dtype=torch.bfloat16)
    base.save_pretrained(tmp_path / "base")
    parameters = base.num_parameters()
    del base
    recipe = tiny_runs.recipe_of(scratch=False, muon=False, adapter=Adapter(), epochs=10, batch_tokens=512)
    run, spec = tiny_runs.lay_out(tmp_path, recipe, start=tiny_runs.BaseStart(folder=str(tmp_path / "base")))
    result = train(run, spec)
    assert result is not None and result.tune_loss is not None
    assert result.tune_loss < torch.log(torch.tensor(float(vocabulary))) - 0.1
    assert result.environment["precision"] == ("bfloat16" if CUDA else "float32")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    if CUDA:
        assert parameters > 1_000_000_000
        assert torch.cuda.max_memory_allocated() < 12_000_000_000
