"""The space that prompts are compared in: TF-IDF of hashed words, and its main axes (latent semantic analysis).

Deerwester, Dumais, Furnas, Landauer and Harshman, "Indexing by latent semantic analysis", J. Amer. Soc. Inf. Sci. 41
(1990). Nothing here looks at scores, so the space is fitted once on all rows, held-out ones as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import scipy.sparse
import sklearn.utils.extmath
from numpy.typing import NDArray

from freehold.signals.text import BUCKETS, HashedText

# Neither SciPy nor scikit-learn has types.
Matrix: TypeAlias = Any
"""A SciPy sparse matrix."""
sp: Any = scipy.sparse
randomized_svd = cast("Any", sklearn.utils.extmath).randomized_svd
Floats = NDArray[np.float64]

DIMENSIONS = 64
"""Of the space in which neighbours are near; 32, 64 and 128 gave the same savings to a point."""


class Space(NamedTuple):
    """What places a prompt."""

    idf: Floats
    """(BUCKETS,)."""
    projection: Floats
    """(BUCKETS, d)."""


class Placed(NamedTuple):
    """n prompts in a space."""

    words: Matrix
    """TF-IDF rows of unit length, (n, BUCKETS)."""
    places: Floats
    """Unit length, (n, d), or (n, d + e) with an embedder of e dimensions."""
    structure: Floats
    """(n, STRUCTURE), or with an embedder (n, STRUCTURE + e)."""
    outside: Floats
    """How much of a prompt the space does not hold: 1 − the length of its projection, (n,)."""


def fit_space(texts: Sequence[HashedText], seed: int) -> Space:
    """The space of n prompts."""
    counts = counts_of(texts)
    idf = idf_of(counts)
    words = tf_idf(counts, idf)
    axes = randomized_svd(words, min(DIMENSIONS, len(texts) - 1), n_iter=2, random_state=seed)[2]
    return Space(idf, np.ascontiguousarray(axes.T, np.float64))


def place(space: Space, texts: Sequence[HashedText]) -> Placed:
    """Where prompts lie; as `freehold.signals.prompts.PromptModel` has it for one."""
    words = tf_idf(counts_of(texts), space.idf)
    projected = words @ space.projection
    outside = 1.0 - np.linalg.norm(projected, axis=1)
    places = unit(projected)
    structure = np.stack([text.structure for text in texts]).astype(np.float64)
    if texts[0].embedding is not None:
        embedded = np.stack([text.embedding for text in texts if text.embedding is not None]).astype(np.float64)
        places = unit(np.hstack((places, embedded)))
        structure = np.hstack((structure, embedded))
    return Placed(words, places, structure, outside)


def counts_of(texts: Sequence[HashedText]) -> Matrix:
    """Counts of buckets, (n, BUCKETS)."""
    ends = np.cumsum([0, *(len(text.buckets) for text in texts)])
    buckets, values = np.concatenate([t.buckets for t in texts]), np.concatenate([t.counts for t in texts])
    return sp.csr_matrix((values.astype(np.float64), buckets, ends), shape=(len(texts), BUCKETS))


def idf_of(counts: Matrix) -> Floats:
    """Inverse document frequency, smoothed, (BUCKETS,)."""
    seen = np.bincount(counts.indices, minlength=BUCKETS)
    return np.log((1.0 + counts.shape[0]) / (1.0 + seen)) + 1.0


def tf_idf(counts: Matrix, idf: Floats) -> Matrix:
    """Weighted rows of unit length, (n, BUCKETS)."""
    values = counts.data * idf[counts.indices]
    each: NDArray[np.intp] = np.diff(counts.indptr)
    rows = np.repeat(np.arange(len(each)), each)
    length = np.sqrt(np.bincount(rows, values * values, minlength=len(each)))
    values /= np.maximum(length, 1e-9)[rows]
    return sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def unit(rows: Floats) -> Floats:
    """Rows of unit length."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
