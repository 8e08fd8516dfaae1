"""Whether a student answers the same once it is a GGUF file in llama.cpp: token by token, over prompts it has not seen.

    OMP_NUM_THREADS=1 python -m bench.students.exports [--llama PYTHON] [--model FOLDER] [--prompts N]

`--llama` names a Python that has llama-cpp-python (this one, if it has). Without `--model` a small Llama is trained
from random weights on made-up tickets first (about a minute). Prints one JSON object: for each type of numbers the
file's size, how many answers are the same as those of transformers, and tokens per CPU second; and how many of many
texts, unicode of all kinds among them, llama.cpp splits into the same tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from freehold.serving.export import GgufType, export_gguf, source_of

THINGS = ("printer", "lamp", "door", "window", "heating", "lift", "projector", "keyboard", "kettle", "router", "badge")
FAULTS = ("is broken", "makes a noise", "has no power", "will not open", "is missing", "smells of smoke", "leaks")
ROOMS = [f"{letter}{number}" for letter in "ABCDE" for number in range(10, 99, 7)]
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
MOST_TOKENS = 64


def ticket(draw: random.Random) -> tuple[str, str]:
    """A request and its answer."""
    thing, fault, room = draw.choice(THINGS), draw.choice(FAULTS), draw.choice(ROOMS)
    number, urgent = draw.randrange(1000, 99999), draw.random() < 0.4
    begin = draw.choice(["Hello,", "Hi there.", "Ticket from reception:", "Good morning,"])
    asked = f"{begin} the {thing} in room {room} {fault}{', please hurry' if urgent else ''}. Reference {number}."
    said = {"thing": thing, "fault": fault, "room": room, "urgent": urgent, "reference": number}
    return asked, json.dumps(said)


def strange_texts(count: int) -> list[str]:
    """Texts of characters from all over unicode, spaces and digits of all kinds."""
    draw = random.Random(5)
    ranges = [(32, 127), (160, 0x250), (0x370, 0x600), (0x900, 0xE00), (0x2000, 0x2070), (0x2150, 0x2190),
              (0x3000, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0x1F300, 0x1F700)]  # fmt: skip
    texts: list[str] = []
    for _ in range(count):
        pieces = [chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(40))]
        texts.append("".join(piece + draw.choice(["", "", "", " ", "  ", "\n", "'s", "12"]) for piece in pieces))
    return texts


def train(folder: Path, steps: int) -> None:
    """A Llama of 0.6M parameters on tickets: good enough that its answers are not noise."""
    torch.manual_seed(0)
    draw = random.Random(0)
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    rows = [ticket(draw) for _ in range(3000)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        (text for row in rows for text in row),
        trainers.BpeTrainer(vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    config = transformers.LlamaConfig(
        vocab_size=core.get_vocab_size(), hidden_size=128, intermediate_size=352, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, tie_word_embeddings=True,
        eos_token_id=1, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    model: Any = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    examples = [_example(core, *row) for row in rows]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, step / 20) * (1 - step / steps)
        chosen = draw.sample(examples, 24)
        width = max(len(ids) for ids, _ in chosen)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in chosen])
        labels = ids.clone()
        for at, (tokens, begin) in enumerate(chosen):
            labels[at, :begin] = -100
            labels[at, len(tokens) :] = -100
        loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.save_pretrained(folder)
    core.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "pad_token": "<|pad|>", "chat_template": TEMPLATE, "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _example(core: tokenizers.Tokenizer, asked: str, said: str) -> tuple[list[int], int]:
    prompt = core.encode(f"<|user|>{asked}<|end|><|assistant|>", add_special_tokens=False).ids
    return prompt + core.encode(f"{said}<|end|>", add_special_tokens=False).ids, len(prompt)


def reference(folder: Path, prompts: list[str]) -> tuple[list[list[int]], float]:
    """Greedy answers by transformers in float32, and tokens per CPU second."""
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    end = model.config.eos_token_id
    answers: list[list[int]] = []
    began = time.process_time()
    for prompt in prompts:
        ids = core.encode(f"<|user|>{prompt}<|end|><|assistant|>", add_special_tokens=False).ids
        with torch.inference_mode():
            found = model.generate(torch.tensor([ids]), max_new_tokens=MOST_TOKENS, do_sample=False)[0]
        answer = found[len(ids) :].tolist()
        answers.append(answer[: answer.index(end)] if end in answer else answer)
    return answers, sum(map(len, answers)) / (time.process_time() - began)


def main() -> int:
    """Train or take a model, export it, compare, print."""
    parser = argparse.ArgumentParser(description="A student's answers in llama.cpp against its own.")
    parser.add_argument("--llama", default=os.environ.get("FREEHOLD_LLAMA_PYTHON", sys.executable))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=250)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = options.model or Path(place) / "model"
        if options.model is None:
            folder.mkdir()
            train(folder, options.steps)
        draw = random.Random(99)
        rows = [ticket(draw) for _ in range(options.prompts)]
        prompts = [asked for asked, _ in rows]
        answers, speed = reference(folder, prompts)
        core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        right = sum(core.decode(answer) == said for answer, (_, said) in zip(answers, rows, strict=True))
        texts = strange_texts(1000) + prompts
        expected = [core.encode(text, add_special_tokens=False).ids for text in texts]
        kinds: tuple[GgufType, ...] = ("f32", "f16", "q8_0")
        result: dict[str, Any] = {
            "prompts": len(prompts),
            "right_answers": right,
            "transformers_tokens_per_cpu_s": speed,
        }
        for kind in kinds:
            written = export_gguf(source_of(folder), Path(place) / f"{kind}.gguf", kind)
            asked = {"gguf": str(written.path), "texts": texts, "prompts": prompts, "max_tokens": MOST_TOKENS}
            script = str(Path(__file__).with_name("llama_side.py"))
            ran = subprocess.run([options.llama, script], input=json.dumps(asked), capture_output=True, text=True)
            if ran.returncode:
                print(ran.stderr[-2000:], file=sys.stderr)
                return 1
            said = json.loads(ran.stdout)
            result[kind] = {
                "bytes": written.bytes,
                "pre": written.pre,
                "same_answers": sum(a == b for a, b in zip(answers, said["answer_ids"], strict=True)),
                "same_tokens": sum(a == b for a, b in zip(expected, said["tokens"], strict=True)),
                "texts": len(texts),
                "tokens_per_cpu_s": said["answer_tokens"] / said["seconds"],
            }
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
