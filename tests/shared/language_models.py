"""Tiny language models in random weights, with a tokenizer and a chat template, as Hugging Face folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIALS = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
END = 0


def write_tokenizer(folder: Path, vocabulary: int = 300) -> Any:
    """A byte-level tokenizer; <|end|> is token 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIALS, initial_alphabet=alphabet)
    texts = [
        '{"name": "Ada", "age": 36}',
        "the quick brown fox jumps over the lazy dog",
        "true false null [1, 2, 3]",
    ] * 4
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    return tokenizer


def write_model(folder: Path, kind: str = "llama", seed: int = 0, **more: Any) -> Any:
    """A model of the family `kind` and its tokenizer; returns transformers' model."""
    import torch
    import transformers as hf

    classes: dict[str, tuple[Any, Any]] = {
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM),
        "mistral": (hf.MistralConfig, hf.MistralForCausalLM),
        "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM),
        "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM),
    }
    tokenizer = write_tokenizer(folder)
    torch.manual_seed(seed)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "vocab_size": tokenizer.get_vocab_size(),
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": 1,
    }
    config, model = classes[kind]
    made = model(config(**{**shape, **more})).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.25)
    made.save_pretrained(str(folder))
    return made


def write_adapter(folder: Path, base: Any, seed: int, rank: int = 4, targets: tuple[str, ...] | None = None) -> Any:
    """A LoRA adapter in random weights for transformers' `base`; returns peft's model, which changes `base`."""
    import torch
    from peft import LoraConfig, get_peft_model

    every = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    torch.manual_seed(seed)
    made: Any = get_peft_model(base, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(targets or every)))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)
    made.save_pretrained(str(folder))
    return made.eval()


def greedy(model: Any, prompt: list[int], tokens: int) -> tuple[list[int], list[float]]:
    """transformers' greedy answer to a prompt and its log-probabilities, its end included."""
    import torch

    with torch.inference_mode():
        made = model.generate(
            torch.tensor([prompt]),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        answer = made.sequences[0, len(prompt) :].tolist()
        rows = [torch.log_softmax(row[0].float(), -1) for row in made.logits]
    return answer, [float(row[token]) for row, token in zip(rows, answer, strict=True)]
