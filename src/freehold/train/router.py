"""Fit what a router predicts from prompts: see `freehold.signals.prompts` for what is estimated and how it is put
together.

Estimates for the evidence itself are cross-fitted: each prompt's by models that had seen neither its scores nor those
of an equal one. On them the stack is fitted, and on them thresholds may be placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sklearn.linear_model
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError
from freehold.signals.prompts import MIN_COST, NEIGHBOURS, STACKED, STRANGER, PromptManifest, PromptModel
from freehold.signals.text import BUCKETS, HashedText
from freehold.train.space import Placed, Space, fit_space, place, sp

Ridge: Any = sklearn.linear_model.Ridge  # scikit-learn has no types
Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[np.generic]]

FOLDS = 4
MAX_REFERENCES = 2048
"""Prompts kept to be neighbours: each costs 64 multiplications per decision."""
MIN_ROWS = 40
TASK_PRIOR = 8.0
"""A task's mean is pulled to the overall mean as if by this many prompts."""
RIDGE = 3.0
STRUCTURE_WEIGHT = 0.3
"""Structure counts as much as this share of a prompt's words."""
START, START_OF_COSTS = 0.3, 0.5
"""Of the stack: the weight of linear model and of neighbours before the evidence says otherwise (docs/log.md)."""
PULL = (0.02, 100.0)
"""How hard they are pulled to it: as if by this share of the rows and this many more."""
CHANCE = 3.0
"""And then back, by this many times the share of the gain that could be chance."""
_SLICE = 1024


class FittedPrompts(NamedTuple):
    """The model, and its cross-fitted predictions of the rows it was fitted on."""

    model: PromptModel
    manifest: PromptManifest
    tensors: Tensors
    predicted: Floats
    """Shape (n, q): losses of the candidates, then costs of the incumbent and of the candidates."""
    novelty: Floats
    """Of each row against the others, shape (n,); less than that of new rows, as the space was fitted on these."""


def fit_prompts(
    texts: Sequence[HashedText],
    tasks: Sequence[str],
    groups: NDArray[np.intp],
    losses: Floats,
    costs: Floats,
    *,
    seed: int = 0,
) -> FittedPrompts:
    """Fit on n prompts.

    Args:
        texts: hashed prompts, (n).
        tasks: their tasks, (n); empty where there are none.
        groups: prompts with the same number stay on one side of every fold, (n,).
        losses: of each candidate, (n, k).
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
    codes = task_rows(names, tasks)
    space = fit_space(texts, seed)
    placed = place(space, texts)
    fold = np.random.default_rng(seed).integers(FOLDS, size=int(groups.max()) + 1)[groups]
    parts = np.zeros((STACKED, *targets.shape))
    parts[0] = 1.0
    similarity = np.zeros(len(texts))
    for held_out in range(FOLDS):
        out, rest = np.flatnonzero(fold == held_out), np.flatnonzero(fold != held_out)
        if len(out) and len(rest) > 1:
            heads = _fit_heads(_take(placed, rest), codes[rest], targets[rest], len(names), seed)
            parts[1:, out], similarity[out] = _apply_heads(heads, _take(placed, out), codes[out])
    stack = _stack(parts, targets, losses.shape[1])
    tensors = _fit_heads(placed, codes, targets, len(names), seed)
    tensors |= {"stack": stack, "idf": space.idf, "projection": space.projection}
    stored: Tensors = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    embedded = 0 if texts[0].embedding is None else len(texts[0].embedding)
    manifest = PromptManifest(candidates=losses.shape[1], tasks=names, embedded=embedded)
    predicted = _put_together(stack, parts, losses.shape[1])
    novelty = 1.0 - similarity + placed.outside
    return FittedPrompts(PromptModel(manifest, stored), manifest, stored, predicted, novelty)


def predict_prompts(fitted: FittedPrompts, texts: Sequence[HashedText], tasks: Sequence[str]) -> tuple[Floats, Floats]:
    """What `PromptModel.predict` gives for many prompts at once: targets (n, q) and novelty (n,)."""
    names = fitted.manifest.tasks
    codes = task_rows(names, tasks)
    tensors = {name: tensor.astype(np.float64) for name, tensor in fitted.tensors.items()}
    placed = place(Space(tensors["idf"], tensors["projection"]), texts)
    parts, similarity = _apply_heads(tensors, placed, codes)
    parts = np.concatenate((np.ones_like(parts[:1]), parts))
    predicted = _put_together(tensors["stack"], parts, fitted.manifest.candidates)
    strange = (codes == len(names)) & bool(names)
    return predicted, 1.0 - similarity + placed.outside + STRANGER * strange


def task_means(codes: NDArray[np.intp], targets: Floats, tasks: int) -> Floats:
    """(tasks + 1, q), pulled to the overall mean; the last row, for prompts of unknown or no task, is that mean."""
    overall = targets.mean(0)
    sums = np.zeros((tasks + 1, targets.shape[1]))
    np.add.at(sums, codes, targets)
    counts = np.bincount(codes, minlength=tasks + 1)[:, None]
    means = (sums + TASK_PRIOR * overall) / (counts + TASK_PRIOR)
    means[-1] = overall
    return means


def task_rows(names: Sequence[str], tasks: Sequence[str]) -> NDArray[np.intp]:
    """Row of each task in the table of `task_means`, (n,); the last one for unknown tasks."""
    rows = {task: row for row, task in enumerate(names)}
    return np.array([rows.get(task, len(names)) for task in tasks], np.intp)


def _take(placed: Placed, rows: NDArray[np.intp]) -> Placed:
    return Placed(placed.words[rows], placed.places[rows], placed.structure[rows], placed.outside[rows])


def _fit_heads(placed: Placed, codes: NDArray[np.intp], targets: Floats, tasks: int, seed: int) -> dict[str, Floats]:
    """The tensors of `PromptModel` that look at scores, but the stack."""
    means = task_means(codes, targets, tasks)
    rest = targets - means[codes]
    centre, scale = placed.structure.mean(0), STRUCTURE_WEIGHT / (placed.structure.std(0) + 1e-6)
    both = sp.hstack((placed.words, sp.csr_matrix((placed.structure - centre) * scale))).tocsr()
    ridge = Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-3, max_iter=60).fit(both, rest)
    weights = np.asarray(ridge.coef_, np.float64).reshape(rest.shape[1], -1).T
    of_structure = weights[BUCKETS:] * scale[:, None]
    constant = np.asarray(ridge.intercept_, np.float64).reshape(-1) - centre @ of_structure
    kept = _references(len(codes), seed)
    return {
        "linear": weights[:BUCKETS],
        "structure": np.vstack((of_structure, constant)),
        "references": placed.places[kept],
        "neighbours": rest[kept],
        "task_means": means,
    }


def _references(rows: int, seed: int) -> NDArray[np.intp]:
    if rows <= MAX_REFERENCES:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_REFERENCES, replace=False))


def _apply_heads(heads: dict[str, Floats], placed: Placed, codes: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Task means, linear and neighbours' estimates, (3, n, q), and the largest similarity, (n,)."""
    linear = placed.words @ heads["linear"] + placed.structure @ heads["structure"][:-1] + heads["structure"][-1]
    near, largest = _nearest(placed.places, heads["references"], heads["neighbours"])
    return np.stack((heads["task_means"][codes], linear, near)), largest


def _nearest(places: Floats, references: Floats, values: Floats) -> tuple[Floats, Floats]:
    """`freehold.signals.prompts.nearest` of n prompts at once, in slices of bounded size."""
    near, largest = np.zeros((len(places), values.shape[1])), np.zeros(len(places))
    k = min(NEIGHBOURS, len(references))
    turned = np.ascontiguousarray(references.T, np.float32)
    for start in range(0, len(places), _SLICE):
        similarity = places[start : start + _SLICE].astype(np.float32) @ turned
        chosen = np.argpartition(similarity, -k, axis=1)[:, -k:]
        picked = np.take_along_axis(similarity, chosen, 1)
        weights = np.maximum(picked, 0.0) ** 2
        near[start : start + _SLICE] = (
            np.einsum("nk,nkq->nq", weights, values[chosen]) / (weights.sum(1) + 0.5)[:, None]
        )
        largest[start : start + _SLICE] = np.maximum(picked.max(1), 0.0)
    return near, largest


def _stack(parts: Floats, targets: Floats, candidates: int) -> Floats:
    """Weights of the parts per target, (STACKED, q): least squares, moved from the start only as far as it pays.

    What p weights gain by chance alone is p times the variance, so the step is shortened by the share of its gain which
    that is, `CHANCE` times over (James and Stein, "Estimation with quadratic loss", 1961, the positive part).
    """
    stack = np.empty((STACKED, targets.shape[1]))
    for column in range(targets.shape[1]):
        weight = START if column < candidates else START_OF_COSTS
        start = np.array((0.0, 1.0, weight, weight))
        x, target = parts[:, :, column].T, targets[:, column]
        pull = (PULL[0] * len(x) + PULL[1]) * np.maximum((x * x).mean(0), 1e-9)
        step = np.asarray(np.linalg.solve(x.T @ x + np.diag(pull), x.T @ (target - x @ start)), np.float64)
        before = float(((target - x @ start) ** 2).sum())
        after = float(((target - x @ (start + step)) ** 2).sum())
        by_chance = CHANCE * STACKED * after / len(x)
        stack[:, column] = start + max(0.0, 1.0 - by_chance / max(1e-12, before - after)) * step
    return stack


def _put_together(stack: Floats, parts: Floats, candidates: int) -> Floats:
    """(n, q); costs above 0."""
    predicted = (stack[:, None] * parts).sum(0)
    predicted[:, candidates:] = np.maximum(predicted[:, candidates:], MIN_COST)
    return predicted
