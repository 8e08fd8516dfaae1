"""Runs of training that are over in a second: models 32 wide that learn to write a prompt backwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from freehold.train.generative.encode import Encoded
from freehold.train.generative.spec import SPEC, BaseStart, ScratchStart, Spec, Start, write_examples, write_json
from freehold.train.recipes import Adapter, Base, Data, Optimizer, Recipe, Run, Scratch

PAD, USER, ASSISTANT, END = 0, 1, 2, 3
VOCABULARY = 300
START = ScratchStart(vocabulary=VOCABULARY, pad=PAD, end=END)
SHAPE = Scratch(hidden=32, layers=2, heads=2, intermediate=64, vocabulary=VOCABULARY)


def backwards(count: int, seed: int = 0, pieces: int = 20) -> list[Encoded]:
    """Prompts of 3 to 8 pieces; the answer has them in reverse."""
    random = np.random.default_rng(seed)
    found: list[Encoded] = []
    for _ in range(count):
        prompt = random.integers(5, 5 + pieces, random.integers(3, 9))
        tokens = np.concatenate([[USER], prompt, [ASSISTANT], prompt[::-1], [END]]).astype(np.int32)
        found.append(Encoded(tokens, np.arange(len(tokens)) >= len(prompt) + 2))
    return found


def recipe_of(*, adapter: Adapter | None = None, scratch: bool = True, muon: bool = True, **run: Any) -> Recipe:
    told: dict[str, Any] = {"epochs": 2.0, "batch_tokens": 512, "evaluate_every": 10, "checkpoint_every": 10, **run}
    return Recipe(
        name="toy",
        about="Learns to write backwards.",
        model=SHAPE if scratch else Base(),
        adapter=adapter,
        data=Data(context=64),
        optimizer=Optimizer(kind="muon", rate=3e-3, matrix_rate=0.02) if muon else Optimizer(rate=3e-3),
        run=Run(**told),
    )


def lay_out(
    folder: Path,
    recipe: Recipe,
    seed: int = 1,
    start: Start = START,
    rows: int = 200,
) -> tuple[Path, Spec]:
    """`folder/run` as `fit` prepares it, for a worker to be called on."""
    run = folder / "run"
    run.mkdir(parents=True)
    digest = write_examples(run, {"fit": backwards(rows), "tune": backwards(40, seed=99)})
    spec = Spec(recipe=recipe, seed=seed, start=start, data_sha256=digest)
    write_json(run / SPEC, spec)
    return run, spec


def base_folder(folder: Path, seed: int = 5) -> BaseStart:
    """A base model of random weights."""
    import torch
    from transformers import Qwen3ForCausalLM

    from freehold.train.generative.model import scratch_config

    torch.manual_seed(seed)
    Qwen3ForCausalLM(scratch_config(recipe_of(), SHAPE, START)).save_pretrained(folder)
    return BaseStart(folder=str(folder))
