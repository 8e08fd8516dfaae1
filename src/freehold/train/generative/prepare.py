"""From a dataset's rows to what a run of training begins with: tokens, and the weights it starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from freehold.domain.evidence import Sample
from freehold.train.generative.augment import augmented
from freehold.train.generative.copying import exercises
from freehold.train.generative.encode import Encoded, encode
from freehold.train.generative.examples import examples_of
from freehold.train.generative.spec import BaseStart, ScratchStart, Start
from freehold.train.generative.tokenizer import Tokenizer, read_tokenizer, train_tokenizer
from freehold.train.recipes import Recipe, Scratch


class Prepared(NamedTuple):
    """What a run begins with."""

    fit: list[Encoded]
    tune: list[Encoded]
    tokenizer: Tokenizer
    start: Start
    left_out: Counter[str]
    """Why how many examples are shown to nobody."""


def prepare(
    samples: Sequence[Sample],
    recipe: Recipe,
    base: Path | None,
    seed: int,
    taught: Sequence[Sample] | None = None,
) -> Prepared:
    """The fit and tune rows as tokens; certify rows are passed over.

    Args:
        samples: of a dataset.
        recipe: says what is shown, and how.
        base: folder of the base model; None: from scratch, with a tokenizer made of the fit rows.
        seed: of noise.
        taught: those of the rows that are shown, where that is not all; the tokenizer is made of all.

    Raises:
        EvidenceError: there is nothing to learn, or what there is contradicts itself.
        TrainingError: the base's tokenizer cannot be used, or most examples are too long.
    """
    to_fit, to_tune = examples_of(samples if taught is None else taught, recipe)
    tokenizer, start = start_of(samples, recipe, base)
    fit_tokens, left_out = encode(augmented(to_fit, recipe, seed), tokenizer, recipe)
    if recipe.data.copying:
        fit_tokens += exercises(recipe.data.copying, tokenizer, seed)
    tune_tokens, also = encode(to_tune, tokenizer, recipe) if to_tune else ([], Counter[str]())
    return Prepared(fit_tokens, tune_tokens, tokenizer, start, left_out + also)


def start_of(samples: Sequence[Sample], recipe: Recipe, base: Path | None) -> tuple[Tokenizer, Start]:
    """The tokenizer, a student's own or its base's, and what its weights begin as.

    Raises:
        TrainingError: the base's tokenizer cannot be used.
    """
    if base is not None:
        return read_tokenizer(base), BaseStart(folder=str(base))
    assert isinstance(recipe.model, Scratch)
    told = ((sample.prompt, sample.answer) for sample in samples if sample.part == "fit")
    tokenizer = train_tokenizer(told, recipe.model, recipe.data.context)
    return tokenizer, ScratchStart(vocabulary=tokenizer.size, pad=tokenizer.ids.pad, end=tokenizer.ids.end)
