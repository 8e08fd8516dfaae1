"""Examples in, tokens out, with which of them are learned: found by rendering the conversation up to each answer.

A template is a program, and says nothing of where the answer lies in what it gives. What stands before an answer is
what it gives for the turns before it (`add_generation_prompt`): the very text that the student will be asked with. The
answer is what the next turn adds to that, as far as the token that ends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import EvidenceError, TrainingError
from freehold.train.generative.examples import Example, Turn
from freehold.train.generative.preferences import Pair
from freehold.train.generative.tokenizer import Tokenizer
from freehold.train.left_out import BY_ANSWER, NOTHING, REFUSED, SPECIAL_INSIDE, TOO_LONG
from freehold.train.recipes import Recipe

MAX_TOO_LONG = 0.5
_COVERED = 0.98
"""Share of the examples that the context which an error names would hold."""


EVERY, BEFORE = -1, -2
"""Epochs of an example: all of them; none, but once before the first."""


class Encoded(NamedTuple):
    """One example as tokens."""

    tokens: npt.NDArray[np.int32]
    """(n,)"""
    learn: npt.NDArray[np.bool_]
    """(n,); learn[i]: predicting tokens[i] counts in the loss."""
    epoch: int = EVERY
    """The only epoch that shows it, from 0; or `EVERY` or `BEFORE`."""


class EncodedPair(NamedTuple):
    """Two answers to one prompt as tokens, each (n,); the answers end with the end token."""

    prompt: npt.NDArray[np.int32]
    chosen: npt.NDArray[np.int32]
    rejected: npt.NDArray[np.int32]


class Span(NamedTuple):
    """A piece of a rendered conversation."""

    text: str
    learn: bool


def encode(examples: Sequence[Example], tokenizer: Tokenizer, recipe: Recipe) -> tuple[list[Encoded], Counter[str]]:
    """Every example as tokens, in order, and why how many are left out. Nothing is ever cut.

    An example that epochs show differently counts once, as the first epoch shows it.

    Raises:
        EvidenceError: more than half are longer than the context (the message names one that would do), or nothing is
            left.
        TrainingError: the chat template takes none of these conversations.
    """
    left_out: Counter[str] = Counter()
    again: Counter[str] = Counter()
    found: list[Encoded] = []
    lengths: list[int] = []
    refused: TrainingError | None = None
    for example in examples:
        counted = left_out if example.epoch <= 0 else again
        if any(tokenizer.holds_special(turn.text) for turn in example.turns):
            counted[SPECIAL_INSIDE] += 1
            continue
        try:
            pieces = conversations(_as_asked(example, recipe), tokenizer)
        except TrainingError as error:
            counted[REFUSED] += 1
            refused = refused or error
            continue
        for spans in pieces:
            one = _encoded(spans, tokenizer, example.epoch)
            lengths.append(len(one.tokens))
            if not one.learn.any():
                counted[NOTHING] += 1
            elif len(one.tokens) > recipe.data.context:
                counted[TOO_LONG] += 1
            else:
                found.append(one)
    if refused is not None and not found:
        raise refused
    _check(lengths, found, left_out + again, recipe.data.context)
    return found, left_out


def encode_pairs(pairs: Sequence[Pair], tokenizer: Tokenizer, recipe: Recipe) -> tuple[list[EncodedPair], Counter[str]]:
    """Every pair as tokens, in order, and why how many are left out. Raises as `encode` does."""
    left_out: Counter[str] = Counter()
    found: list[EncodedPair] = []
    lengths: list[int] = []
    for pair in pairs:
        if any(map(tokenizer.holds_special, pair[:3])):
            left_out[SPECIAL_INSIDE] += 1
            continue
        asked = Turn("user", pair.prompt, False)
        both = [_alone(Example((asked, Turn("assistant", said, True))), 1, tokenizer) for said in pair[1:3]]
        if both[0][0] != both[1][0]:
            left_out[BY_ANSWER] += 1
            continue
        prompt, chosen, rejected = (
            np.array(tokenizer.encode(span.text), np.int32) for span in (both[0][0], both[0][1], both[1][1])
        )
        lengths.append(len(prompt) + max(len(chosen), len(rejected)))
        if lengths[-1] > recipe.data.context:
            left_out[TOO_LONG] += 1
        else:
            found.append(EncodedPair(prompt, chosen, rejected))
    _check(lengths, found, left_out, recipe.data.context)
    return found, left_out


def conversations(example: Example, tokenizer: Tokenizer) -> list[list[Span]]:
    """The example as the template renders it, in pieces; several, where the template changes earlier turns later on
    (as those do that leave out what was thought before): then one for each answer that is learned."""
    learned = [at for at, turn in enumerate(example.turns) if turn.learn]
    if not learned:
        return [[Span(_render(example, len(example.turns), tokenizer, answer_next=False), False)]]
    whole = _spans(example, learned, tokenizer)
    return [whole] if whole is not None else [_alone(example, at, tokenizer) for at in learned]


def _as_asked(example: Example, recipe: Recipe) -> Example:
    """With `data.learn = "answer"` only the last of the learned turns is."""
    learned = [at for at, turn in enumerate(example.turns) if turn.learn]
    if recipe.data.learn == "assistant" or len(learned) < 2:
        return example
    turns = (turn._replace(learn=at == learned[-1]) for at, turn in enumerate(example.turns))
    return example._replace(turns=tuple(turns))


def prompt_text(text: str, tokenizer: Tokenizer) -> str:
    """What a student is given for one prompt, as the server renders it."""
    return tokenizer.template.render([{"role": "user", "content": text}], answer_next=True)


def _spans(example: Example, learned: Sequence[int], tokenizer: Tokenizer) -> list[Span] | None:
    """Pieces of the conversation up to its last learned turn; None if its beginning is another after later turns."""
    whole = _render(example, learned[-1] + 1, tokenizer, answer_next=False)
    spans: list[Span] = []
    done = 0
    for at in learned:
        before, answer = _before_and_answer(example, at, tokenizer)
        if not whole.startswith(before + answer) or len(before) < done:
            return None
        spans += [Span(whole[done : len(before)], False), Span(answer, True)]
        done = len(before) + len(answer)
    return spans


def _alone(example: Example, at: int, tokenizer: Tokenizer) -> list[Span]:
    before, answer = _before_and_answer(example, at, tokenizer)
    return [Span(before, False), Span(answer, True)]


def _before_and_answer(example: Example, at: int, tokenizer: Tokenizer) -> tuple[str, str]:
    """What the model is given before turn `at`, and what it should write, to the special token that ends it: templates
    may end a turn by another than the tokenizer's own (`<|eot_id|>`, say). Where there is none, it is put there."""
    after = _render(example, at + 1, tokenizer, answer_next=False)
    before = _render(example, at, tokenizer, answer_next=True)
    if not after.startswith(before):  # the template writes something else before an answer than it asks with
        before = _render(example, at, tokenizer, answer_next=False)
    if not after.startswith(before):
        before = _common(before, after)
    answer = after[len(before) :]
    return before, answer[: tokenizer.end_of(answer)] or answer + tokenizer.end


def _common(one: str, other: str) -> str:
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return other[:length]


def _render(example: Example, turns: int, tokenizer: Tokenizer, *, answer_next: bool) -> str:
    messages = [_message(turn) for turn in example.turns[:turns]]
    tools = [msgspec.json.decode(tool) for tool in example.tools]
    return tokenizer.template.render(messages, answer_next=answer_next, tools=tools)


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.calls:
        calls = [msgspec.json.decode(call) for call in turn.calls]
        message["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return message


def _encoded(spans: Iterable[Span], tokenizer: Tokenizer, epoch: int) -> Encoded:
    """Pieces are encoded apart: a token over a border would be one that no server ever begins an answer after."""
    pieces = [(tokenizer.encode(span.text), span.learn) for span in spans if span.text]
    tokens = np.array([token for ids, _ in pieces for token in ids], np.int32)
    learn = np.array([learned for ids, learned in pieces for _ in ids], np.bool_)
    return Encoded(tokens, learn, epoch)


def _check(lengths: Sequence[int], found: Sequence[object], left_out: Counter[str], context: int) -> None:
    if lengths and left_out[TOO_LONG] > MAX_TOO_LONG * len(lengths):
        wanted = int(np.quantile(lengths, _COVERED, method="higher"))
        raise EvidenceError(
            f"{left_out[TOO_LONG]:,} of {len(lengths):,} examples are longer than {context} tokens, and would be left "
            f"out.",
            f"Set `context = {-(-wanted // 64) * 64}` under [data] in the recipe (the longest has {max(lengths):,} "
            "tokens), or leave out what prompts say every time.",
        )
    if not found and left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
        raise EvidenceError(f"No example is left to learn from: {reasons}.", "Curate the dataset again.")
