"""Text in, sparse features out: one vocabulary, two views (words and characters). The same code trains and serves.

The word view has stems, pairs of neighbours and pairs of words near each other in any order; the character view has
the 2- to 5-grams of each word. Each view is weighted by sublinear TF-IDF and scaled to unit length (Salton and
Buckley, "Term-weighting approaches in automatic text retrieval", 1988).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

MAX_HEAD_TOKENS = 192
MAX_TAIL_TOKENS = 64
"""A longer text is seen by its beginning and its end: a decision's time stays bounded."""
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_SUFFIXES = ("ing", "ed", "es", "s", "ly")
_NEAR = 6
_HALF = np.float32(2**-0.5)


class Features(NamedTuple):
    """What is known of one text: two sparse unit vectors over one vocabulary, and how strange the words are."""

    words: Indices
    word_weights: Floats
    characters: Indices
    character_weights: Floats
    unknown_grams: float
    """Share of stems and neighbour pairs that the vocabulary lacks."""
    novelty: float
    """Share of the different words that the vocabulary lacks."""

    @property
    def size(self) -> int:
        """How many features were found."""
        return len(self.words) + len(self.characters)


def tokens_of(text: str) -> list[str]:
    """Lower-case words, numbers and signs, bounded in number."""
    tokens = _TOKEN.findall(text[:20_000].lower().replace("'", ""))
    if len(tokens) > MAX_HEAD_TOKENS + MAX_TAIL_TOKENS:
        return tokens[:MAX_HEAD_TOKENS] + tokens[-MAX_TAIL_TOKENS:]
    return tokens


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if len(word) > len(suffix) + 2 and word.endswith(suffix):
            return word[: -len(suffix)]
    return word


def grams_of(text: str) -> tuple[list[str], list[str], list[str]]:
    """(stems and neighbour pairs, near pairs, character grams) of a text; a one-letter prefix keeps families apart."""
    tokens = tokens_of(text)
    stems = [_stem(token) for token in tokens]
    bounded = ["^", *stems, "$"]
    grams = ["s " + stem for stem in stems]
    grams += [f"s {a} {b}" for a, b in pairwise(bounded)]
    words = [stem for stem in stems if stem.isalnum()]
    near = [
        f"k {a} {b}" if a < b else f"k {b} {a}"
        for place, a in enumerate(words)
        for b in words[place + 1 : place + 1 + _NEAR]
    ]
    return grams, near, list(_character_grams(tokens))


def _character_grams(tokens: list[str]) -> Iterator[str]:
    for token in tokens:
        padded = f" {token} "
        size = len(padded)
        for width in (2, 3, 4, 5):
            if size < width:
                break
            for start in range(size - width + 1):
                yield "c" + padded[start : start + width]


class Featuriser:
    """A vocabulary with its inverse document frequencies."""

    def __init__(self, vocabulary: dict[str, int], idf: Floats) -> None:
        """Args: vocabulary: gram → column; idf: float32 of shape (columns,)."""
        self._vocabulary = vocabulary
        self._idf = idf

    def __call__(self, text: str) -> Features:
        """The features of a text."""
        grams, near, characters = grams_of(text)
        known = self._vocabulary
        first, first_weights = self._unit(grams)
        second, second_weights = self._unit(near)
        third, third_weights = self._unit(characters)
        stems = {gram for gram in grams if gram.count(" ") == 1}
        return Features(
            words=np.concatenate((first, second)),
            word_weights=np.concatenate((first_weights, second_weights)) * _HALF,
            characters=third,
            character_weights=third_weights,
            unknown_grams=sum(gram not in known for gram in grams) / max(1, len(grams)),
            novelty=sum(stem not in known for stem in stems) / max(1, len(stems)),
        )

    def _unit(self, grams: list[str]) -> tuple[Indices, Floats]:
        known = self._vocabulary
        counts: dict[int, int] = {}
        for gram in grams:
            column = known.get(gram)
            if column is not None:
                counts[column] = counts.get(column, 0) + 1
        columns = np.fromiter(counts.keys(), np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self._idf[columns]
        length = float(np.sqrt(weights @ weights))
        return columns, weights / np.float32(length) if length > 0 else weights
