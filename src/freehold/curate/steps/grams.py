"""Runs of words, hashed: what near-duplicates and contamination are found by.

Words are runs of letters, marks and digits in lower case; scripts that are written without spaces give one word for
each character. All words of a chunk of texts are hashed at once, by the same hash on every machine, in every version.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes: TypeAlias = npt.NDArray[np.uint64]
_CHUNK_BYTES = 250_000
"""Text looked at together: what is made of it fits a processor's cache."""
_NO_WORD = r"[^\p{L}\p{M}\p{N}]+"
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_BASE = 0x9E3779B97F4A7C15
"""An odd number, so that it has an inverse modulo 2^64."""
_NEWLINE = 10


class Grams(NamedTuple):
    """The grams of the texts from number `start` on."""

    start: int
    hashes: Hashes
    """Of the grams of all texts, one text after the other."""
    offsets: npt.NDArray[np.int64]
    """Where each text's grams begin, and after the last one the end: one more than there are texts."""


def word_grams(texts: pl.Series, words: int) -> Iterator[Grams]:
    """Hashes of every run of so many words, in chunks of texts.

    A text of fewer words has one gram: all of it. A text without words has none.
    """
    plain = _plain(texts)
    ends = plain.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
    start = 0
    while start < len(plain):
        limit = (ends[start - 1] if start else 0) + _CHUNK_BYTES
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield Grams(start, *_grams(plain.slice(start, stop - start), words))
        start = stop


def _plain(texts: pl.Series) -> pl.Series:
    """Words in lower case, one space between them."""
    plain_ascii = texts.str.len_bytes() == texts.str.len_chars()
    if not plain_ascii.all():
        others = (~plain_ascii).arg_true()
        texts = texts.clone().scatter(others, _spaced(texts.gather(others)))
    return texts.str.to_lowercase().str.replace_all(_NO_WORD, " ").str.strip_chars(" ")


def _spaced(texts: pl.Series) -> pl.Series:
    return texts.str.normalize("NFKC").str.replace_all(_UNSPACED, " $1 ")


def _grams(plain: pl.Series, words: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Hashes and offsets of one chunk."""
    text = np.frombuffer(("\n".join(plain) + "\n").encode(), np.uint8)
    hashes, word_offsets = _words(text)
    # Words beyond a text's end count as 0, so that no gram reaches into the next text.
    counts = np.diff(word_offsets)
    ends = np.repeat(word_offsets[1:], counts)
    places = np.arange(len(hashes))
    padded = np.concatenate([hashes, np.zeros(words, np.uint64)])
    grams = np.zeros(len(hashes), np.uint64)
    for ahead in range(words):
        word = np.where(places + ahead < ends, padded[ahead : ahead + len(hashes)], np.uint64(0))
        grams = _mixed(grams + word)
    first = np.repeat(word_offsets[:-1], counts) == places
    whole = (places + words <= ends) | first
    per_text = np.where(counts > 0, np.maximum(counts - words + 1, 1), 0)
    return grams[whole], np.concatenate([[0], np.cumsum(per_text)])


def _words(text: npt.NDArray[np.uint8]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hash of each word of a chunk, and at which word each text begins (and the last one ends).

    A word's hash is Σ byte·BASE^place, from differences of a running sum, times BASE^-(its place).
    """
    powers, inverses = _powers(max(2 * _CHUNK_BYTES, len(text)))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((text + np.uint64(1)) * powers[: len(text)])])
    breaks = np.flatnonzero(text <= 32)  # spaces, and the line feed after each text
    starts = np.concatenate([[0], breaks[:-1] + 1])
    filled = breaks > starts
    hashes = _mixed((sums[breaks] - sums[starts]) * inverses[starts])[filled]
    text_ends = np.cumsum(filled)[text[breaks] == _NEWLINE]
    return hashes, np.concatenate([[0], text_ends]).astype(np.int64)


@functools.lru_cache(maxsize=1)
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """BASE and its inverse modulo 2^64, raised to 0, 1, …, `length` - 1."""
    inverse: int = pow(_BASE, -1, 2**64)
    return _powers_of(_BASE, length), _powers_of(inverse, length)


def _powers_of(base: int, length: int) -> Hashes:
    factors = np.full(length, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _mixed(values: npt.NDArray[Any]) -> Hashes:
    """Each number stirred, so that similar ones differ in all bits: the finaliser of SplitMix64 (Steele, Lea and Flood,
    "Fast splittable pseudorandom number generators", OOPSLA 2014)."""
    values = values + np.uint64(_BASE)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
