"""A tiny run of training: rows that are quickly learned, and a recipe whose steps are quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from freehold.domain.evidence import Sample
from freehold.train.generative.encode import Encoded
from freehold.train.generative.fit import Fit, ScratchStart, fit
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.progress import Progress
from freehold.train.recipes import Data, Optimizer, Recipe, Run, Scratch

VOCABULARY = 300
START = ScratchStart(vocabulary=VOCABULARY, pad=0, end=1)
RECIPE = Recipe(
    name="tiny",
    about="A copy of a few words.",
    model=Scratch(hidden=32, layers=1, heads=2, intermediate=64, vocabulary=VOCABULARY),
    data=Data(context=32),
    optimizer=Optimizer(rate=3e-3),
    max_answer_tokens=16,
    run=Run(epochs=10, batch_tokens=256, evaluate_every=10, checkpoint_every=5, patience=0, workers=2),
)
SWEPT = msgspec.structs.replace(
    RECIPE,
    model=Scratch(hidden=32, layers=1, heads=2, intermediate=64, vocabulary=300),
    run=Run(epochs=40, batch_tokens=128, evaluate_every=5, patience=0),
)
OVER = ("optimizer.rate=0.01,0.003,0.00001",)
"""The last learns nothing: it is worse than the others at every step."""


def rows(count: int, seed: int) -> list[Encoded]:
    """A few tokens, and the same again."""
    random = np.random.default_rng(seed)
    found: list[Encoded] = []
    for _ in range(count):
        said = random.integers(6, VOCABULARY, 8).astype(np.int32)
        tokens = np.concatenate([[2], said, [3], said, [1]]).astype(np.int32)
        found.append(Encoded(tokens, np.arange(len(tokens)) > len(said) + 1))
    return found


def trained(
    folder: Path, train_by: TrainBy = train_here, watch: Callable[[Progress], None] = lambda _: None, workers: int = 2
) -> Fit:
    """The run, by whatever trains it."""
    recipe = msgspec.structs.replace(RECIPE, run=msgspec.structs.replace(RECIPE.run, workers=workers))
    return fit(folder, recipe, rows(200, 1), rows(30, 2), 5, START, watch, train_by)


def samples(count: int) -> list[Sample]:
    """Questions whose answers repeat two of their words; every fifth row is for tuning, and some are for certifying."""
    random = np.random.default_rng(7)
    found: list[Sample] = []
    for n in range(count):
        first, second = (f"{'abcdefgh'[k]}{'aeiou'[k % 5]}t" for k in random.integers(0, 8, 2))
        part = "tune" if n % 5 == 0 else "certify" if n % 7 == 0 else "fit"
        answer = f"{second} {first}" if part != "certify" else "never to be seen"
        told: dict[str, Any] = {"terms": "own", "input_tokens": 9, "output_tokens": 3, "uniform": True}
        prompt = f"turn {first} {second}"
        found.append(Sample(trace_id=f"tr_{n}", at_ns=n, prompt=prompt, answer=answer, part=part, **told))
    return found
