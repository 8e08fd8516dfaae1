"""Text in, sparse features out: one vocabulary, two views (words and characters). The same code trains and serves.

The word view has stems, pairs of neighbours and pairs of words near each other in any order; the character view has
the 2- to 5-grams of each word. Each view is weighted by sublinear TF-IDF and scaled to unit length (Salton and
Buckley, "Term-weighting approaches in automatic text retrieval", 1988).
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, pairwise
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
_REMEMBERED_WORDS = 20_000
_LONG_WORD = 40
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


def stem_grams(tokens: list[str]) -> list[str]:
    """Stems and pairs of neighbours; a one-letter prefix keeps the families of grams apart."""
    return _grams_of([_stem(token) for token in tokens])


def _grams_of(stems: list[str]) -> list[str]:
    return ["s " + stem for stem in stems] + [f"s {a} {b}" for a, b in pairwise(("^", *stems, "$"))]


def near_grams(tokens: list[str]) -> list[str]:
    """Pairs of words at most six apart, in alphabetical order."""
    words = [stem for token in tokens if (stem := _stem(token)).isalnum()]
    return [
        f"k {a} {b}" if a < b else f"k {b} {a}"
        for place, a in enumerate(words)
        for b in words[place + 1 : place + 1 + _NEAR]
    ]


def character_grams(token: str) -> list[str]:
    """The 2- to 5-grams of a word with a space at each end."""
    padded = f" {token} "
    size = len(padded)
    return ["c" + padded[start : start + width] for width in (2, 3, 4, 5) for start in range(size - width + 1)]


class Featuriser:
    """A vocabulary with its inverse document frequencies. Not thread-safe: it remembers the words it has seen."""

    def __init__(self, vocabulary: dict[str, int], idf: Floats) -> None:
        """Args: vocabulary: gram → column; idf: float32 of shape (columns,)."""
        self._vocabulary = vocabulary
        self._idf = idf
        self._characters: dict[str, list[int]] = {}
        self._stems: dict[str, str] = {}
        # Both ways round: a pair is found by its two stems in any order, which is quicker than making its gram.
        self._near: dict[str, dict[str, int]] = {}
        for gram, column in vocabulary.items():
            if gram.startswith("k "):
                _, a, b = gram.split(" ")
                self._near.setdefault(a, {})[b] = column
                self._near.setdefault(b, {})[a] = column

    def __call__(self, text: str) -> Features:
        """The features of a text."""
        tokens = tokens_of(text)
        known = self._vocabulary
        remembered = self._stems
        stems = [remembered.get(token) or self._stem_of(token) for token in tokens]
        columns = [known.get(gram, -1) for gram in _grams_of(stems)]
        # Families share no column, so one count in the order stems, near pairs, characters holds them side by side.
        counts = Counter(columns)
        counts.pop(-1, None)
        first = len(counts)
        counts.update(self._columns_near(stems))
        second = len(counts)
        counts.update(chain.from_iterable(map(self._columns_of, tokens)))
        found, weights = self._weighted(counts, (first, second))
        weights[:second] *= _HALF
        novel = dict(zip(stems, columns, strict=False))
        return Features(
            words=found[:second],
            word_weights=weights[:second],
            characters=found[second:],
            character_weights=weights[second:],
            unknown_grams=columns.count(-1) / max(1, len(columns)),
            novelty=sum(column < 0 for column in novel.values()) / max(1, len(novel)),
        )

    def _columns_near(self, stems: list[str]) -> list[int]:
        """Columns of the known grams of `near_grams`."""
        words = [stem for stem in stems if stem.isalnum()]
        known = self._near
        return [
            column
            for place, word in enumerate(words, 1)
            if (partners := known.get(word)) is not None
            for other in words[place : place + _NEAR]
            if (column := partners.get(other, -1)) >= 0
        ]

    def _stem_of(self, token: str) -> str:
        stem = _stem(token)
        if len(self._stems) < _REMEMBERED_WORDS and len(token) < _LONG_WORD:
            self._stems[token] = stem
        return stem

    def _columns_of(self, token: str) -> list[int]:
        """Columns of a word's character grams, remembered: most words of a text have been seen before."""
        columns = self._characters.get(token)
        if columns is None:
            known = self._vocabulary
            columns = [column for gram in character_grams(token) if (column := known.get(gram, -1)) >= 0]
            if len(self._characters) < _REMEMBERED_WORDS and len(token) < _LONG_WORD:
                self._characters[token] = columns
        return columns

    def _weighted(self, counts: Counter[int], bounds: tuple[int, int]) -> tuple[Indices, Floats]:
        """Sublinear TF-IDF of the counted columns, each of the families between `bounds` scaled to unit length."""
        size = len(counts)
        found = np.fromiter(counts, np.int64, size)
        weights = self._idf[found] * (1 + np.log(np.fromiter(counts.values(), np.float32, size)))
        for start, end in pairwise((0, *bounds, size)):
            family = weights[start:end]
            length = float(family @ family) ** 0.5
            if length > 0:
                family /= np.float32(length)
        return found, weights
