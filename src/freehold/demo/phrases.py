"""Templates to text, and the slips of people who type in a hurry. Every choice comes from the caller's `Random`.

In a template `[a|b]` is one of the two (nesting allowed), `{slot}` a line of that slot, `@` a random digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from random import Random
from typing import Literal, NamedTuple, TypeVar

import msgspec

from freehold.demo.lexicon import COMMON, CommonLexicon

T = TypeVar("T")
Part = Literal["all", "seen", "unseen"]
"""Which templates and open values are used: all of them; or, to measure what was learned, those of a record that is
learned from and those that are in none."""

OPENER_RATE, CONTEXT_RATE, CLOSER_RATE, SMALL_TALK_RATE = 0.65, 0.3, 0.65, 0.03
LOWER_CASE_RATE, NO_PUNCTUATION_RATE, TYPO_RATE = 0.15, 0.12, 0.25
"""Shares of messages; a message with typos has one to three of them."""

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_GAPS = re.compile(r" +([.,!?]|$)|( ) +")
_WORD = re.compile(r"[A-Za-z]{4,}")
_PUNCTUATION = re.compile(r"[,.!?]+(?=\s|$)")


@cache
def load(name: str, kind: type[T]) -> T:
    """The lexicon file `name` decoded as `kind`; read once."""
    return msgspec.toml.decode((files("freehold.demo.lexicon") / name).read_bytes(), type=kind)


def common() -> CommonLexicon:
    """The words that all tasks share."""
    return load(COMMON, CommonLexicon)


def say(template: str, rng: Random, slots: Mapping[str, Sequence[str]] | None = None) -> str:
    """One text of `template`; `slots` go before the shared ones. A slot nobody knows is a KeyError."""
    shared, own = common().slots, slots or {}
    text = template
    while "[" in text or "{" in text:
        text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
        if "[" not in text:
            text = _SLOT.sub(lambda match: rng.choice(own.get(match[1]) or shared[match[1]]), text)
    while "@" in text:
        text = text.replace("@", str(rng.randint(1, 9)), 1)
    return _GAPS.sub(r"\1\2", text)


def phrasing(templates: Sequence[str], rng: Random, part: Part = "all") -> str:
    """One of the templates: of four, the last is unseen and the others are seen."""
    kept = [template for at, template in enumerate(templates) if part == "all" or (at % 4 == 3) == (part == "unseen")]
    return rng.choice(kept or templates)


class Composed(NamedTuple):
    """A message and the right answer, in the exact form a model is asked for."""

    user: str
    truth: str


class Blanks:
    """Values that slips must not touch: each is one character of Unicode's private use until `filled`."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def of(self, value: str) -> str:
        """What stands for `value`."""
        blank = chr(0xE000 + len(self._values))
        self._values[blank] = value
        return blank

    def filled(self, text: str) -> str:
        """`text` with the values in their places."""
        for blank, value in self._values.items():
            text = text.replace(blank, value)
        return text


def letter(cores: Sequence[str], rng: Random, slots: Mapping[str, Sequence[str]] | None = None) -> str:
    """A customer's message: the core sentences, perhaps an opener, context, small talk and a closer, then slips."""
    words = common()
    own = slots or {"name": [rng.choice(words.slots["name"])]}
    sentences = list(cores)
    if rng.random() < CONTEXT_RATE:
        sentences.insert(rng.choice((0, len(sentences))), say(rng.choice(words.context.lines), rng, own))
    if rng.random() < SMALL_TALK_RATE:
        sentences.insert(rng.choice((0, len(sentences))), say(rng.choice(words.small_talk.lines), rng))
    if rng.random() < CLOSER_RATE:
        sentences.append(say(rng.choice(words.closers.lines), rng, own))
    text = " ".join(_sentence(sentence) for sentence in sentences)
    if rng.random() < OPENER_RATE:
        text = f"{_capital(say(rng.choice(words.openers.lines), rng, own))} {text}"
    return roughen(text, rng)


def roughen(text: str, rng: Random) -> str:
    """`text` as typed in a hurry: at the rates above lower case, without punctuation, with mistyped words."""
    if rng.random() < LOWER_CASE_RATE:
        text = text.lower()
    if rng.random() < NO_PUNCTUATION_RATE:
        text = _PUNCTUATION.sub("", text)
    if rng.random() < TYPO_RATE:
        for _ in range(rng.randint(1, 3)):
            text = _mistype(text, rng)
    return text


def _mistype(text: str, rng: Random) -> str:
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    pair = text[at : at + 2]
    slip = rng.choice((pair[::-1], pair[1], pair[0] + pair))
    return text[:at] + slip + text[at + 2 :]


def _sentence(text: str) -> str:
    return _capital(text) + ("" if text.endswith((".", "?", "!")) else ".")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
