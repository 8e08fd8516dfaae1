"""Samples, examples and tokenizers for tests of generative students."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from freehold.domain.evidence import Part, Sample
from freehold.train.generative.examples import Example, Turn
from freehold.train.generative.tokenizer import Tokenizer, train_tokenizer
from freehold.train.recipes import Recipe, Scratch

NAMES = ("Anna", "Berta", "Carlos", "Dimitri", "Emeka", "Fatima", "Grigor", "Hanneke", "Ibrahim", "Jolanda")


def recipe(**tables: dict[str, Any]) -> Recipe:
    given: dict[str, Any] = {"name": "mine", "about": "A test.", "model": {"from": "scratch"}, **tables}
    return msgspec.convert(given, Recipe)


def sample(prompt: str, answer: str, part: Part = "fit", trace: str = "tr") -> Sample:
    return Sample(
        trace_id=trace, at_ns=0, prompt=prompt, answer=answer, part=part, terms="own",
        input_tokens=0, output_tokens=0, uniform=True,
    )  # fmt: skip


def tickets(count: int, seed: int = 1) -> list[Sample]:
    """Sentences about an order, and their fields as JSON."""
    draw = random.Random(seed)
    found: list[Sample] = []
    for number in range(count):
        name, order = draw.choice(NAMES), draw.randrange(1000, 99999)
        part: Part = "tune" if number % 10 == 9 else "fit"
        prompt = f"Customer {name} says that order {order} never arrived."
        found.append(sample(prompt, f'{{"name": "{name}", "order": {order}}}', part, f"tr_{number}"))
    return found


def example(prompt: str, answer: str) -> Example:
    return Example((Turn("user", prompt, False), Turn("assistant", answer, True)))


def tokenizer_of(samples: Sequence[Sample], vocabulary: int = 400) -> Tokenizer:
    return train_tokenizer(((one.prompt, one.answer) for one in samples), Scratch(vocabulary=vocabulary), 256)
