"""What a student learns from: conversations, with which of their turns it learns to write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from freehold.domain.answers import normalise
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Sample
from freehold.train.recipes import Recipe

MAX_CONTRADICTED = 0.3
"""Of the examples whose prompt came more than once: the teacher then is no teacher. Fewer only cost some quality."""
MIN_REPEATED = 20
"""Fewer repeated prompts say nothing about the rest."""


class Turn(NamedTuple):
    """One message."""

    role: str
    text: str
    learn: bool
    calls: tuple[str, ...] = ()
    """Tool calls that the model made, each as JSON `{"name": …, "arguments": …}`."""


class Example(NamedTuple):
    """One conversation to learn from."""

    turns: tuple[Turn, ...]
    trace_id: str = ""
    tools: tuple[str, ...] = ()
    """Tools that were offered, each as JSON in OpenAI's form."""
    epoch: int = -1
    """The only epoch that shows it; −1: every one."""


class Contradictions(NamedTuple):
    """How far answers to the same prompt differ."""

    prompts: int
    """Prompts with different answers."""
    rows: int
    """Rows of such prompts that say something else than most of them."""
    repeated: int
    """Rows whose prompt came more than once."""
    example: str
    """One such prompt."""


def examples_of(samples: Sequence[Sample], recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """The fit and the tune part as examples, in order; certify rows are passed over.

    Raises:
        EvidenceError: there is nothing to fit on, or what there is contradicts itself.
    """
    fit = [sample for sample in samples if sample.part == "fit" and sample.answer.strip()]
    tune = [sample for sample in samples if sample.part == "tune" and sample.answer.strip()]
    if not fit:
        raise EvidenceError(
            f"The dataset has {len(samples):,} rows and none to fit on.",
            "Let more traffic pass, or import recorded answers (`freehold import`); then `freehold curate` again.",
        )
    if recipe.data.samples == 1 or recipe.data.best_of:  # else several answers to a prompt are what was asked for
        check_contradictions(fit)
    return [example_of(sample) for sample in fit], [example_of(sample) for sample in tune]


def example_of(sample: Sample) -> Example:
    """A sample's prompt as the user's turn, its answer as the assistant's, which is learned."""
    return Example((Turn("user", sample.prompt, False), Turn("assistant", sample.answer, True)), sample.trace_id)


def contradictions(samples: Sequence[Sample]) -> Contradictions:
    """How far answers to the same prompt differ, by `freehold.domain.answers.normalise`."""
    answers: dict[str, dict[str, int]] = {}
    for sample in samples:
        said = answers.setdefault(sample.prompt.strip(), {})
        answer = normalise(sample.answer)
        said[answer] = said.get(answer, 0) + 1
    repeated = {prompt: said for prompt, said in answers.items() if sum(said.values()) > 1}
    different = {prompt: said for prompt, said in repeated.items() if len(said) > 1}
    return Contradictions(
        prompts=len(different),
        rows=sum(sum(said.values()) - max(said.values()) for said in different.values()),
        repeated=sum(sum(said.values()) for said in repeated.values()),
        example=next(iter(different), ""),
    )


def check_contradictions(samples: Sequence[Sample]) -> Contradictions:
    """How far answers to the same prompt differ, where that is little enough to learn from.

    Raises:
        EvidenceError: a large share of the rows whose prompt was repeated has another answer than most of its prompt's.
    """
    found = contradictions(samples)
    if found.repeated >= MIN_REPEATED and found.rows > MAX_CONTRADICTED * found.repeated:
        shown = found.example if len(found.example) <= 80 else f"{found.example[:80]}…"
        raise EvidenceError(
            f"The dataset contradicts itself: {found.prompts:,} prompts have different answers, and {found.rows:,} of "
            f"the {found.repeated:,} rows with a repeated prompt disagree with most of their prompt's (for example "
            f"{shown!r}).",
            "Add the steps `best-answer` or `feedback-trust` to the task's [[curate]] steps and curate again; or, if "
            "answers may differ, this task has no single right answer that a student could learn.",
        )
    return found


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """An order of `count` things, the same for the same seed and epoch on every machine."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
