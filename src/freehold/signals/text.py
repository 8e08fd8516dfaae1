"""A prompt's features without a transformer: hashed words and pairs of words, and its structure.

Words are hashed into a fixed number of buckets (Weinberger, Dasgupta, Langford, Smola and Attenberg, "Feature hashing
for large scale multitask learning", ICML 2009), so that nothing has to be learnt, stored or kept in step before a
prompt can be read. Long prompts are read at both ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 2**15
HEAD, TAIL = 1000, 400
"""Characters read of a prompt's beginning and of its end."""
_TOKEN = re.compile(rb"[a-z_\x80-\xff]+|[0-9]+|[^\sa-z0-9_\x80-\xff]")
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(7)
_SHIFT = np.uint64(64 - 15)
_WEIGHT = np.concatenate(([0.0], 1.0 + np.log(np.arange(1, 256)))).astype(np.float32)
_KINDS = (b"abcdefghijklmnopqrstuvwxyz", b"0123456789", b" \t\r", b"\n", b"+*/=^<>%$\\", b"(){}[];_", b"?")
_KIND_OF = np.full(256, len(_KINDS), np.uint8)
for _kind, _bytes in enumerate(_KINDS):
    _KIND_OF[list(_bytes)] = _kind
_KIND_OF[128:] = len(_KINDS) + 1
STRUCTURE = len(_KINDS) + 2 + 3
"""How many figures describe a prompt's structure."""


class HashedText:
    """The buckets a prompt falls into, each once, with how often; and its structure."""

    __slots__ = ("buckets", "counts", "embedding", "structure")

    def __init__(
        self,
        buckets: NDArray[np.intp],
        counts: NDArray[np.float32],
        structure: NDArray[np.float32],
        embedding: NDArray[np.float32] | None = None,
    ) -> None:
        self.buckets = buckets
        """Sorted, shape (k,)."""
        self.counts = counts
        """1 + log of how often, shape (k,)."""
        self.structure = structure
        """Shape (STRUCTURE,)."""
        self.embedding = embedding
        """Of unit length or 0, (e,); None without an embedder."""


class Embedder(Protocol):
    """An optional plug-in: see `freehold.signals.embed`."""

    dimensions: int

    def embed(self, text: str) -> NDArray[np.float32]:
        """A vector of unit length, or 0 of a text that says nothing, (dimensions,)."""
        ...

    def embed_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same of n texts, (n, dimensions); may differ by rounding."""
        ...


def hash_text(text: str, embedder: Embedder | None = None) -> HashedText:
    """The features of one prompt; about `HEAD + TAIL` characters of it are read, whatever its length."""
    read = _excerpt(text)
    return _hashed(text, read, None if embedder is None else embedder.embed(read))


def hash_all(texts: Sequence[str], embedder: Embedder | None = None) -> list[HashedText]:
    """The same of many prompts, which an embedder reads faster together."""
    if embedder is None or not texts:
        return [hash_text(text) for text in texts]
    reads = [_excerpt(text) for text in texts]
    return [_hashed(*each) for each in zip(texts, reads, embedder.embed_all(reads), strict=True)]


def _excerpt(text: str) -> str:
    """What is read of a prompt: a long one's beginning and its end."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"


def _hashed(text: str, read: str, embedding: NDArray[np.float32] | None) -> HashedText:
    encoded = read.lower().encode(errors="replace")
    tokens = _TOKEN.findall(encoded)
    hashed = _hash_tokens(tokens)
    edges = np.ones(len(hashed) + 1, bool)
    np.not_equal(hashed[1:], hashed[:-1], out=edges[1:-1])
    edges[0] = len(hashed) > 0
    ends = edges.nonzero()[0]
    weights = _WEIGHT.take(ends[1:] - ends[:-1], mode="clip")
    structure = _structure(text, encoded, len(tokens))
    return HashedText(hashed.take(ends[:-1]).astype(np.intp), weights, structure, embedding)


def _hash_tokens(tokens: list[bytes]) -> NDArray[np.uint16]:
    """The buckets of n words and of their n − 1 pairs, sorted."""
    n = len(tokens)
    hashed = np.empty(max(0, 2 * n - 1), np.uint64)
    words, pairs = hashed[:n], hashed[n:]
    words[:] = list(map(crc32, tokens))
    words *= _PAIR
    np.right_shift(words[1:], _HALF, out=pairs)
    pairs ^= words[:-1]
    pairs *= _PAIR
    hashed >>= _SHIFT
    buckets = hashed.astype(np.uint16)
    buckets.sort()
    return buckets


def _structure(text: str, read: bytes, tokens: int) -> NDArray[np.float32]:
    """What kind of text it is: shares of letters, digits, lines, mathematics, code, other scripts; and its lengths.

    The share of bytes above 127 stands for the language, beside the words themselves.
    """
    kinds = _KIND_OF.take(np.frombuffer(read, np.uint8))
    shape = np.empty(STRUCTURE, np.float32)
    shape[:-3] = np.bincount(kinds, minlength=STRUCTURE - 3)
    shape[:-3] /= max(1, len(read))
    shape[-3:] = (math.log1p(len(text)), math.log1p(text.count("\n")), math.log1p(tokens))
    return shape
