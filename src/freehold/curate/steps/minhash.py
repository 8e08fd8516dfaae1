"""Which texts are nearly the same: candidates by MinHash and banding, and then the truth by their real similarity.

MinHash: A. Z. Broder, "On the resemblance and containment of documents", SEQUENCES 1997; of each minimum 16 bits are
kept: P. Li and A. C. König, "b-Bit minwise hashing", WWW 2010. Banding: signatures are cut into bands, and texts that
agree in a whole band are candidates: J. Leskovec, A. Rajaraman and J. D. Ullman, "Mining of Massive Datasets". Of two
texts of Jaccard similarity s some of b bands of r numbers agree with probability 1 - (1 - s^r)^b.

The signatures are made here and not by rensa, which is quicker at it but hands them out as Python lists only: 26 µs of
CPU for a document of 60 words, against 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from freehold.curate.steps.grams import Hashes, word_grams

Signatures: TypeAlias = npt.NDArray[np.uint16]
"""(texts, SIZE): of a text without words all are 0, and it is like no other."""
Pairs: TypeAlias = npt.NDArray[np.int64]
"""(n, 2): numbers of texts, the smaller first."""

SIZE = 96
"""24 bands of 4: at similarity 0.6 a pair is a candidate with probability 0.964, at 0.7 with 0.9986."""
_SEED = 20261121
_MARGIN = 0.25
"""Candidates whose signatures agree in so much less than the threshold are not looked at: five standard deviations."""
_NEIGHBOURS = 12
"""How many texts of a band's bucket each is compared with at a time."""
_PAIRS_AT_ONCE = 100_000


def signatures(texts: pl.Series, words: int) -> Signatures:
    """What texts are compared by at first: of `SIZE` orders of all grams, the first gram that a text has."""
    found = np.zeros((len(texts), SIZE), np.uint16)
    factors = np.random.Generator(np.random.PCG64(_SEED)).integers(0, 2**32, SIZE, np.uint32) | np.uint32(1)
    for chunk in word_grams(texts, words):
        filled = np.flatnonzero(np.diff(chunk.offsets))
        if not len(filled):
            continue
        starts, hashes = chunk.offsets[filled], chunk.hashes.astype(np.uint32)
        for number, factor in enumerate(factors):
            firsts = np.minimum.reduceat(hashes * factor, starts)
            found[chunk.start + filled, number] = firsts.astype(np.uint16)
    return found


def duplicates_of(
    texts: pl.Series, signed: Signatures, words: int, threshold: float, held: int = 0
) -> npt.NDArray[np.int64]:
    """For each text the number of an earlier text that is like it, or -1: then it stays.

    Args:
        texts: in order of precedence.
        signed: their signatures.
        words: words in a gram.
        threshold: least Jaccard similarity of the sets of grams of texts that are alike.
        held: so many of the first texts stay whatever they are like.
    """
    like = np.full(len(texts), -1, np.int64)
    compared = np.zeros(0, np.uint64)
    bands = np.ascontiguousarray(signed).view(np.uint64)  # four numbers of 16 bits are one of 64
    staying = np.flatnonzero(bands.any(axis=1))
    while len(staying):
        # Buckets may be large, so each round compares some neighbours within them; what goes makes room for others.
        pairs = _candidates(bands, staying)
        keys = _keys(pairs)
        new = ~np.isin(keys, compared) & (pairs[:, 1] >= held)
        pairs, keys = pairs[new], keys[new]
        if not len(pairs):
            break
        compared = np.concatenate([compared, keys])
        pairs = pairs[_agreement(signed, pairs) >= threshold - _MARGIN]
        alike = pairs[similarities(texts, pairs, words) >= threshold]
        for first, second in alike[np.lexsort((alike[:, 0], alike[:, 1]))].tolist():
            if like[second] < 0 and like[first] < 0:
                like[second] = first
        if not len(alike):
            break
        staying = staying[like[staying] < 0]
    return like


def _candidates(bands: Hashes, staying: npt.NDArray[np.int64]) -> Pairs:
    """Pairs of texts that share a bucket: each with the bucket's first, and with the next few."""
    found: list[Pairs] = []
    for band in range(bands.shape[1]):
        column = bands[staying, band]
        order = np.argsort(column, kind="stable")
        column, numbers = column[order], staying[order]
        starts = np.concatenate([[True], column[1:] != column[:-1]])
        firsts = numbers[np.maximum.accumulate(np.where(starts, np.arange(len(numbers)), 0))]
        found.append(np.stack([firsts, numbers], axis=1)[~starts])
        for ahead in range(1, _NEIGHBOURS + 1):
            same = column[ahead:] == column[:-ahead]
            if not same.any():
                break
            found.append(np.stack([numbers[:-ahead], numbers[ahead:]], axis=1)[same])
    pairs = np.concatenate(found)
    return pairs[np.unique(_keys(pairs), return_index=True)[1]]


def _agreement(signed: Signatures, pairs: Pairs) -> npt.NDArray[np.float64]:
    """The share of their signatures that two texts have in common: an estimate of their similarity."""
    found = np.empty(len(pairs), np.float64)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        found[start : start + len(some)] = (signed[some[:, 0]] == signed[some[:, 1]]).mean(axis=1)
    return found


def _keys(pairs: Pairs) -> Hashes:
    return (pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1].astype(np.uint64)


def similarities(texts: pl.Series, pairs: Pairs, words: int) -> npt.NDArray[np.float64]:
    """The Jaccard similarity of the sets of grams of each pair of texts."""
    numbers = np.unique(pairs)
    sets = list(_gram_sets(texts.gather(numbers), words))
    found = np.empty(len(pairs), np.float64)
    for row, (first, second) in enumerate(np.searchsorted(numbers, pairs)):
        one, other = sets[int(first)], sets[int(second)]
        shared = len(one & other)
        found[row] = shared / (len(one) + len(other) - shared)
    return found


def _gram_sets(texts: pl.Series, words: int) -> Iterator[frozenset[Any]]:
    for chunk in word_grams(texts, words):
        for start, stop in zip(chunk.offsets[:-1], chunk.offsets[1:], strict=True):
            yield frozenset(chunk.hashes[start:stop].tolist())
