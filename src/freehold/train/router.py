"""Fit what a router predicts from prompts: see `freehold.signals.prompts` for what is estimated and how it is put
together.

Estimates for the evidence itself are cross-fitted: each prompt's by models that had seen neither it nor an equal one.
On them the stack is fitted, and on them thresholds may be placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import scipy.sparse
import sklearn.linear_model
import sklearn.utils.extmath
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError
from freehold.signals.prompts import MIN_COST, NEIGHBOURS, STACKED, STRANGER, PromptManifest, PromptModel
from freehold.signals.text import BUCKETS, HashedText

# Neither SciPy nor scikit-learn has types.
Matrix: TypeAlias = Any
"""A SciPy sparse matrix."""
sp: Any = scipy.sparse
Ridge: Any = sklearn.linear_model.Ridge
randomized_svd = cast("Any", sklearn.utils.extmath).randomized_svd
FOLDS = 4
DIMENSIONS = 64
"""Of the space in which neighbours are near; 32, 64 and 128 gave the same savings to a point."""
MAX_REFERENCES = 4096
"""Prompts kept to be neighbours: each costs 64 multiplications per decision."""
MIN_ROWS = 40
TASK_PRIOR = 8.0
"""A task's mean is pulled to the overall mean as if by this many prompts."""
RIDGE = 3.0
STRUCTURE_WEIGHT = 0.3
"""Structure counts as much as this share of a prompt's words."""


class FittedPrompts(NamedTuple):
    """The model, and its cross-fitted predictions of the rows it was fitted on."""

    model: PromptModel
    manifest: PromptManifest
    tensors: dict[str, NDArray[np.generic]]
    predicted: NDArray[np.float64]
    """Shape (n, q): losses of the candidates, then costs of the incumbent and of the candidates."""
    novelty: NDArray[np.float64]
    """Of each row against the others, shape (n,)."""


def fit_prompts(
    texts: Sequence[HashedText],
    tasks: Sequence[str],
    groups: NDArray[np.intp],
    losses: NDArray[np.float64],
    costs: NDArray[np.float64],
    *,
    seed: int = 0,
) -> FittedPrompts:
    """Fit on n prompts.

    Args:
        texts: hashed prompts, (n).
        tasks: their tasks, (n); all empty where there are none.
        groups: prompts with the same number stay on one side of every fold, (n,).
        losses: signed loss of each candidate, (n, k).
        costs: of the incumbent and the candidates, as shares of the incumbent's mean, (n, k + 1).
        seed: of the folds and of the projection.

    Raises:
        EvidenceError: too few prompts.
    """
    if len(texts) < MIN_ROWS:
        raise EvidenceError(
            f"{len(texts)} scored prompts to fit a router on, of at least {MIN_ROWS}.", "Score more requests."
        )
    targets = np.hstack((losses, costs))
    names = tuple(sorted(set(tasks) - {""}))
    codes = np.array([names.index(task) if task else len(names) for task in tasks], np.intp)
    counts, structure = matrix_of(texts), np.stack([text.structure for text in texts]).astype(float)
    fold = np.random.default_rng(seed).integers(FOLDS, size=int(groups.max()) + 1)[groups]
    parts = np.zeros((STACKED, *targets.shape))
    parts[0] = 1.0
    similarity = np.zeros(len(texts))
    for held_out in range(FOLDS):
        out, rest = np.flatnonzero(fold == held_out), np.flatnonzero(fold != held_out)
        if not len(out) or len(rest) < 2:
            continue
        base = _fit_base(counts, structure, codes, targets, rest, len(names), seed)
        parts[1:, out], similarity[out] = _apply_base(base, counts[out], structure[out], codes[out])
    stack = _stack(parts, targets)
    every = np.arange(len(texts))
    tensors = _fit_base(counts, structure, codes, targets, every, len(names), seed)
    tensors["stack"] = stack
    manifest = PromptManifest(candidates=losses.shape[1], tasks=names)
    predicted = (stack[:, None] * parts).sum(0)
    predicted[:, losses.shape[1] :] = np.maximum(predicted[:, losses.shape[1] :], MIN_COST)
    stored = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    return FittedPrompts(PromptModel(manifest, dict(stored)), manifest, dict(stored), predicted, 1.0 - similarity)


def matrix_of(texts: Sequence[HashedText]) -> Matrix:
    """Counts of buckets, (n, BUCKETS)."""
    ends = np.cumsum([0, *(len(text.buckets) for text in texts)])
    buckets, values = np.concatenate([t.buckets for t in texts]), np.concatenate([t.counts for t in texts])
    return sp.csr_matrix((values.astype(float), buckets, ends), shape=(len(texts), BUCKETS))


def weighted(counts: Matrix, idf: NDArray[np.float64]) -> Matrix:
    """TF-IDF rows of unit length, (n, BUCKETS)."""
    weighted = counts @ sp.diags(idf)
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    return (sp.diags(1.0 / np.maximum(length, 1e-9)) @ weighted).tocsr()


def _fit_base(
    counts: Matrix,
    structure: NDArray[np.float64],
    codes: NDArray[np.intp],
    targets: NDArray[np.float64],
    rows: NDArray[np.intp],
    tasks: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """The tensors of `PromptModel` but the stack, fitted on `rows`."""
    seen = np.asarray((counts[rows] > 0).sum(0)).ravel()
    idf = np.log((1.0 + len(rows)) / (1.0 + seen)) + 1.0
    words = weighted(counts[rows], idf)
    means = task_means(codes[rows], targets[rows], tasks)
    rest = targets[rows] - means[codes[rows]]
    centre, scale = structure[rows].mean(0), STRUCTURE_WEIGHT / (structure[rows].std(0) + 1e-6)
    both = sp.hstack((words, sp.csr_matrix((structure[rows] - centre) * scale))).tocsr()
    ridge = Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-3, max_iter=60).fit(both, rest)
    weights = np.asarray(ridge.coef_).reshape(rest.shape[1], -1).T
    of_structure = weights[BUCKETS:] * scale[:, None]
    constant = np.asarray(ridge.intercept_).reshape(-1) - centre @ of_structure
    dimensions = min(DIMENSIONS, len(rows) - 1)
    axes: NDArray[np.float64] = randomized_svd(words, dimensions, n_iter=2, random_state=seed)[2]
    kept = _references(len(rows), seed)
    places = words[kept] @ axes.T
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    return {
        "idf": idf,
        "linear": weights[:BUCKETS],
        "structure": np.vstack((of_structure, constant)),
        "projection": np.ascontiguousarray(axes.T),
        "references": places,
        "neighbours": rest[kept],
        "task_means": means,
    }


def _references(rows: int, seed: int) -> NDArray[np.intp]:
    if rows <= MAX_REFERENCES:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_REFERENCES, replace=False))


def task_means(codes: NDArray[np.intp], targets: NDArray[np.float64], tasks: int) -> NDArray[np.float64]:
    """(tasks + 1, q); the last row, for prompts of unknown or no task, is the overall mean."""
    overall = targets.mean(0)
    sums = np.zeros((tasks + 1, targets.shape[1]))
    np.add.at(sums, codes, targets)
    counts = np.bincount(codes, minlength=tasks + 1)[:, None]
    means = (sums + TASK_PRIOR * overall) / (counts + TASK_PRIOR)
    means[-1] = overall
    return means


def _apply_base(
    base: dict[str, NDArray[np.float64]],
    counts: Matrix,
    structure: NDArray[np.float64],
    codes: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Task means, linear and neighbours' estimates, (3, n, q), and the largest similarity, (n,)."""
    words = weighted(counts, base["idf"])
    linear = words @ base["linear"] + structure @ base["structure"][:-1] + base["structure"][-1]
    places = words @ base["projection"]
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    near, largest = nearest_of_all(places, base["references"], base["neighbours"])
    return np.stack((base["task_means"][codes], linear, near)), largest


def nearest_of_all(
    places: NDArray[np.float64], references: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`freehold.signals.prompts.nearest` of n prompts at once, in slices of bounded size."""
    near, largest = np.zeros((len(places), values.shape[1])), np.zeros(len(places))
    k = min(NEIGHBOURS, len(references))
    for start in range(0, len(places), 1024):
        similarity = (places[start : start + 1024] @ references.T).astype(np.float32)
        chosen = np.argpartition(similarity, -k, axis=1)[:, -k:]
        picked = np.take_along_axis(similarity, chosen, 1)
        weights = np.maximum(picked, 0.0) ** 2
        near[start : start + 1024] = np.einsum("nk,nkq->nq", weights, values[chosen]) / (weights.sum(1) + 0.5)[:, None]
        largest[start : start + 1024] = np.maximum(picked.max(1), 0.0)
    return near, largest


def _stack(parts: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the parts per target, (STACKED, q): least squares, pulled towards task mean and half of each model."""
    start = np.array((0.0, 1.0, 0.5, 0.5))
    stack = np.empty((STACKED, targets.shape[1]))
    for column in range(targets.shape[1]):
        x = parts[:, :, column].T
        pull = 0.02 * len(x) * np.maximum((x * x).mean(0), 1e-9)
        gram = x.T @ x + np.diag(pull)
        stack[:, column] = np.linalg.solve(gram, x.T @ targets[:, column] + pull * start)
    return stack


def predict_prompts(
    fitted: FittedPrompts, texts: Sequence[HashedText], tasks: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What `PromptModel.predict` gives for many prompts at once: targets (n, q) and novelty (n,)."""
    names = {task: row for row, task in enumerate(fitted.manifest.tasks)}
    codes = np.array([names.get(task, len(names)) for task in tasks], np.intp)
    base = {name: tensor.astype(np.float64) for name, tensor in fitted.tensors.items()}
    parts, similarity = _apply_base(
        base, matrix_of(texts), np.stack([text.structure for text in texts]).astype(float), codes
    )
    stack = base["stack"]
    predicted = stack[0] + (stack[1:, None] * parts).sum(0)
    k = fitted.manifest.candidates
    predicted[:, k:] = np.maximum(predicted[:, k:], MIN_COST)
    strange = (codes == len(names)) & bool(names)
    return predicted, 1.0 - similarity + STRANGER * strange
