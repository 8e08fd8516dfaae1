"""How many tokens a CPU second trains: ours beside trl's SFTTrainer, on the same model, data, batch size and threads.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python bench/students/training.py speed [--examples N] [--hidden N] …

prints one line per way: tokens shown (padding not counted), CPU seconds, tokens per CPU second, the loss reached, and
how many times trl's better way ours is. Each runs in a process of its own, one after the other. What is counted of trl
is `trainer.train()` alone; of ours everything from reading the data to writing the model. trl is run as it is best:
with examples padded to the longest of a batch, and with its packing. What examples say does not matter for speed; these
copy words of their prompt into an answer of fixed form, so that a loss that falls shows that it learns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from freehold.train.generative.encode import Encoded
from freehold.train.generative.spec import ScratchStart, Spec, write_examples, write_json
from freehold.train.recipes import Data, Optimizer, Recipe, Run, Scratch

WAYS = ("ours adamw", "trl padded", "trl packed", "ours muon")
PAD, END, USER, ASSISTANT, FIRST = 0, 1, 2, 3, 8


def main() -> int:
    """Run every way in turn, and compare."""
    parser = argparse.ArgumentParser(description="Training speed of generative students.")
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed")
    add_options(speed)
    speed.add_argument("--way", choices=WAYS, help="run this one here, and print it as JSON")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run_way(options)))
        return 0
    print(f"{'way':12} {'tokens':>9} {'CPU s':>7} {'tokens per CPU s':>17} {'loss':>6}")
    found = {way: _apart(way) for way in options.ways.split(",")}
    best_of_trl = max((row["pace"] for way, row in found.items() if way.startswith("trl")), default=None)
    for way, row in found.items():
        ratio = "" if best_of_trl is None else f"  {row['pace'] / best_of_trl:.2f} × trl"
        print(f"{way:12} {row['tokens']:9,} {row['cpu']:7.1f} {row['pace']:17,.0f} {row['loss']:6.3f}{ratio}")
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--pack", type=int, default=256)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))


def _apart(way: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_way(options: argparse.Namespace) -> dict[str, Any]:
    """Train once, in this process."""
    kind, how = options.way.split()
    examples = made_up(options.examples, options.vocabulary, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(options, how if kind == "ours" else "adamw")
        train = ours if kind == "ours" else trl
        tokens, cpu, loss = train(Path(folder), spec, examples, how == "packed")
    return {"tokens": tokens, "cpu": cpu, "pace": tokens / cpu, "loss": loss}


def spec_of(options: argparse.Namespace, kind: Any) -> Spec:
    heads = max(1, options.hidden // 32)
    recipe = Recipe(
        name="speed",
        about="Measures speed.",
        model=Scratch(
            hidden=options.hidden,
            layers=options.layers,
            heads=heads,
            intermediate=options.hidden * 11 // 4,
            vocabulary=options.vocabulary,
        ),
        data=Data(context=256, pack=options.pack),
        optimizer=Optimizer(kind=kind, rate=3e-3),
        run=Run(
            epochs=options.epochs,
            batch_tokens=options.batch_tokens,
            threads=options.threads,
            precision=options.precision,
        ),
    )
    start = ScratchStart(vocabulary=options.vocabulary, pad=PAD, end=END)
    return Spec(recipe=recipe, seed=options.seed, start=start, data_sha256="")


def made_up(count: int, vocabulary: int, seed: int) -> list[Encoded]:
    """Prompts of 35 to 85 tokens, answers of 20 to 45: the lengths of tickets and their JSON."""
    random = np.random.default_rng(seed)
    found: list[Encoded] = []
    for _ in range(count):
        prompt = random.integers(FIRST, vocabulary, random.integers(32, 82))
        fields = prompt[random.integers(0, len(prompt), random.integers(10, 22))]
        answer = np.stack([np.arange(FIRST, FIRST + len(fields)), fields], axis=1).reshape(-1)
        tokens = np.concatenate([[USER], prompt, [END, ASSISTANT], answer, [END]]).astype(np.int32)
        found.append(Encoded(tokens, np.arange(len(tokens)) >= len(prompt) + 3))
    return found


def ours(folder: Path, spec: Spec, examples: list[Encoded], packed: bool) -> tuple[int, float, float]:
    from freehold.train.generative.loop import train

    run = folder / "run"
    run.mkdir()
    write_examples(run, {"fit": examples, "tune": []})
    write_json(run / "spec.json", spec)
    import_module("transformers.models.qwen3.modeling_qwen3")  # loading libraries is not counted of trl either
    began = time.process_time()
    fit = train(run, spec)
    assert fit is not None
    return fit.tokens, time.process_time() - began, fit.fit_loss


def trl(folder: Path, spec: Spec, examples: list[Encoded], packed: bool) -> tuple[int, float, float]:
    os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    import torch
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from freehold.train.generative.environment import choose_precision, settle
    from freehold.train.generative.model import build

    told, recipe = spec.recipe.run, spec.recipe
    device = settle(told, spec.seed)
    built = build(spec, device)
    bfloat16 = choose_precision(told, device, built.causal.config.hidden_size) == torch.bfloat16
    mean = sum(len(example.tokens) for example in examples) / len(examples)
    rows = told.batch_tokens // (recipe.data.pack or recipe.data.context) if packed else round(told.batch_tokens / mean)
    arguments = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=told.epochs,
        per_device_train_batch_size=rows,
        learning_rate=recipe.optimizer.rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.optimizer.warmup,
        adam_beta2=0.95,
        optim="adamw_torch_fused",
        max_length=recipe.data.pack or recipe.data.context,
        packing=packed,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=bfloat16,
        seed=spec.seed,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        logging_steps=200,
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    data = Dataset.from_dict(
        {
            "input_ids": [example.tokens.tolist() for example in examples],
            "completion_mask": [example.learn.astype(int).tolist() for example in examples],
        }
    )
    trainer = SFTTrainer(
        model=built.causal, args=arguments, train_dataset=data, processing_class=tokenizer_of(spec, folder)
    )
    began = time.process_time()
    done = trainer.train()
    cpu = time.process_time() - began
    tokens = round(sum(len(example.tokens) for example in examples) * told.epochs)
    return tokens, cpu, float(done.training_loss)


def tokenizer_of(spec: Spec, folder: Path) -> Any:
    """A tokenizer that trl insists on and, since the data are tokens, never uses."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    assert isinstance(spec.start, ScratchStart)
    pieces = {f"t{number}": number for number in range(spec.start.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="t0"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=f"t{PAD}", eos_token=f"t{END}")


if __name__ == "__main__":
    sys.exit(main())
