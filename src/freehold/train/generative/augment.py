"""Examples shown differently in each epoch: made-up words and numbers where the answer repeats the prompt, other words
and cases elsewhere.

From few examples a small model learns the words that it copies by heart; then a name that it never saw is answered with
one that it did. A word that changes from epoch to epoch cannot be learned, only copied. Likewise it learns the few
phrases that it saw; one whose words change must be understood by what stays: the values, and the words that tell them.
"""

from __future__ import annotations

import math
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from freehold.train.generative.examples import Example
from freehold.train.recipes import Recipe

MAX_SHARE = 0.05
"""Words that more answers than this share have belong to the grammar (keys, columns, labels): they stay."""
DISTURBED = (1 / 6, 1 / 3, 2 / 3, 1.0)
"""Shares of a sentence's words that noise in prompts changes; each for as many sentences. A phrasing that is new stands
among others that are not."""
SPARED = 0.5
"""Share of those prompts in which words beside numbers stay."""
LEAST_TOLD, LIFT = 0.5, 3.0
"""A prompt's word tells a word of the answer that it comes with in half of the cases, and three times as often as
others do: "August" an 08, "mended" a repair."""
SEEN = 10
"""Examples that must have a word before anything is said of it."""
POOL = 1000
"""Examples whose prompts give words to others."""
_WORD = re.compile(r"[^\W\d_]{3,}|\d+")
"""Of letters, or a number."""
_SENTENCE = re.compile(r"[.!?;:,](?=\s)|\n")
"""What sets a part of a text off from the next."""
_LETTERS = string.ascii_lowercase
_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprstvz"
_CASES: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.title)


def augmented(examples: Sequence[Example], recipe: Recipe, seed: int) -> list[Example]:
    """The examples, in order; those that some epoch shows differently as one for each epoch.

    The same arguments give the same examples. Nothing is changed where the recipe asks for no noise.
    """
    data = recipe.data
    if not (data.noise_words or data.noise_prompt or data.noise_capitals):
        return list(examples)
    known = _known(examples)
    epochs = math.ceil(recipe.run.epochs)
    found: list[Example] = []
    for number, example in enumerate(examples):
        shown = [_shown(example, recipe, known, random.Random(f"{seed}/{epoch}/{number}")) for epoch in range(epochs)]
        if all(one.turns == example.turns for one in shown):
            found.append(example)
        else:
            found += [one._replace(epoch=epoch) for epoch, one in enumerate(shown)]
    return found


class _Known(NamedTuple):
    """What all examples together say of words."""

    grammar: frozenset[str]
    """Words of answers that may not be made up."""
    clues: frozenset[str]
    """Words of prompts, in lower case, that tell what the answer is."""
    pool: tuple[str, ...]
    """Words of prompts that are no clues, nor repeated by the answer; each as often as it stands there."""


def _shown(example: Example, recipe: Recipe, known: _Known, draw: random.Random) -> Example:
    """The example as one epoch shows it; what is drawn does not depend on what comes of it."""
    words, capitals = draw.random() < recipe.data.noise_words, draw.random() < recipe.data.noise_capitals
    repeated = _repeated(example)
    if words and (candidates := sorted(repeated - known.grammar)):
        word = draw.choice(candidates)
        example = _replaced(example, word, made_up(word, draw))
        repeated = _repeated(example)
    if draw.random() < recipe.data.noise_prompt:
        example = _asked_otherwise(example, repeated, known, draw)
    return _in_case(example, draw.choice(_CASES), repeated) if capitals else example


def made_up(word: str, draw: random.Random) -> str:
    """A word that nobody knows, of the same length and case, made of syllables so that it has as many pieces; for a
    number any other of as many digits."""
    if word[0].isdigit():
        first = draw.randrange(1 if word[0] != "0" else 0, 10)
        return f"{first}{''.join(str(draw.randrange(10)) for _ in word[1:])}"
    begins = draw.randrange(2)
    letters = "".join(draw.choice(_CONSONANTS if at % 2 == begins else _VOWELS) for at in range(len(word)))
    if word.isupper():
        return letters.upper()
    return letters.capitalize() if word[0].isupper() else letters


def mistyped(word: str, draw: random.Random) -> str:
    """A word typed in a hurry, past its first letter: two letters in the wrong order, one too few, one twice, or
    another one; the same word now and then."""
    at = draw.randrange(1, len(word))
    before, here, after = word[:at], word[at], word[at + 1 :]
    wrong = (f"{after[:1]}{here}{after[1:]}", after, f"{here}{here}{after}", f"{draw.choice(_LETTERS)}{after}")
    return before + draw.choice(wrong)


def _repeated(example: Example) -> set[str]:
    """Words of what is learned that stand, the same, in what is not."""
    learned = {word for turn in example.turns if turn.learn for word in _WORD.findall(turn.text)}
    return learned & {word for turn in example.turns if not turn.learn for word in _WORD.findall(turn.text)}


def _known(examples: Sequence[Example]) -> _Known:
    answered, asked, together = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for example in examples:
        answers = {word for turn in example.turns if turn.learn for word in _WORD.findall(turn.text)}
        prompts = {word.lower() for word in _asked_words(example)}
        answered.update(answers)
        asked.update(prompts)
        together.update((told, word) for told in prompts for word in answers)
    clues = {
        told
        for (told, word), count in together.items()
        if asked[told] >= SEEN
        and told != word.lower()
        and count >= LEAST_TOLD * asked[told]
        and count * len(examples) >= LIFT * asked[told] * answered[word]
    }
    grammar = (word for word, count in answered.items() if count > max(1, MAX_SHARE * len(examples)))
    pool = (
        word
        for example in examples[:POOL]
        for repeated in [_repeated(example)]
        for word in _asked_words(example)
        if word not in repeated and word.lower() not in clues
    )
    return _Known(frozenset(grammar), frozenset(clues), tuple(pool))


def _asked_words(example: Example) -> list[str]:
    return [
        word for turn in example.turns if turn.role == "user" for word in _WORD.findall(turn.text) if word.isalpha()
    ]


def _replaced(example: Example, word: str, by: str) -> Example:
    beside = r"\d" if word[0].isdigit() else r"[^\W\d_]"
    pattern = re.compile(rf"(?<!{beside}){re.escape(word)}(?!{beside})")
    return example._replace(turns=tuple(turn._replace(text=pattern.sub(by, turn.text)) for turn in example.turns))


def _asked_otherwise(example: Example, keep: set[str], known: _Known, draw: random.Random) -> Example:
    """In each sentence a share of the users' words made up, left out, followed by a made-up one, or in two of five
    cases those of others; those that tell the answer mistyped instead, and those that it repeats left alone. In half of
    the prompts so are those beside a number: its unit, say. Numbers stay: another one would be taken at its word (a
    day, say, that the answer has with a zero in front)."""
    share, end, spared = draw.choice(DISTURBED), 0, draw.random() < SPARED

    def change(found: re.Match[str]) -> str:
        nonlocal share, end
        word, whole = found[0], found.string
        if _SENTENCE.search(whole, end, found.start()):
            share = draw.choice(DISTURBED)
        end = found.end()
        if word in keep or not word.isalpha() or draw.random() >= share:
            return word
        if spared and _beside_number(whole, found.start(), end):
            return word
        if word.lower() in known.clues:
            return mistyped(word, draw)
        unknown = made_up(word, draw)
        other = draw.choice(known.pool) if known.pool else unknown
        return draw.choice((unknown, "", f"{word} {unknown}", other, other))

    return _users_words(example, change)


def _beside_number(text: str, begin: int, end: int) -> bool:
    """Whether a digit is before or after what is at `begin` to `end`, with at most a space between."""
    return text[max(0, begin - 2) : begin].rstrip()[-1:].isdigit() or text[end : end + 2].lstrip()[:1].isdigit()


def _in_case(example: Example, case: Callable[[str], str], keep: set[str]) -> Example:
    """What users wrote in another case, words aside that the answer repeats."""

    def change(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else case(found[0])

    return _users_words(example, change)


def _users_words(example: Example, change: Callable[[re.Match[str]], str]) -> Example:
    turns = (
        turn._replace(text=_WORD.sub(change, turn.text)) if turn.role == "user" else turn for turn in example.turns
    )
    return example._replace(turns=tuple(turns))
