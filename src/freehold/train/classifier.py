"""Fit a classical student: two linear models per field, and a second stage that learns when to trust them.

Fit and tune rows are cross-fitted: the second stage, the thresholds' grid and the novelty limit rest on scores that
each row was given by models which had not seen it (Stone, "Cross-validatory choice and assessment of statistical
predictions", 1974). The student is the mean of those models (Breiman, "Bagging predictors", 1996): its scores keep the
scale that the second stage was fitted to, where a model fitted to all rows would be surer than it may be. Certify rows
are not touched.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from freehold.domain.answers import leaves, parse_object
from freehold.upstreams.student.classifier import ABSENT, MIN_WIDTH, PAD, Head, score_shape
from freehold.upstreams.student.features import Features, Featuriser, character_grams, near_grams, stem_grams, tokens_of

Array = npt.NDArray[np.float32]
Matrix: TypeAlias = Any
"""A SciPy sparse matrix, float32; SciPy has no types for it."""
MAX_COLUMNS = 80_000
FOLDS = 5
MISSING = -1.5
"""Score of a value that a fold's model has never seen."""
_MIN_ROWS_PER_VALUE = 2
_MIN_WRONG = 5
"""With fewer wrong answers than this there is nothing to learn a second stage from."""


class Fitted(NamedTuple):
    """What training gives: tensors to serve, and per row what the student would have said without having seen it."""

    heads: tuple[Head, ...]
    tensors: dict[str, npt.NDArray[np.generic]]
    signals: Array
    """Cross-fitted signal per row, (rows,)."""
    wrong: npt.NDArray[np.bool_]
    """Whether the cross-fitted answer differs from the incumbent's, (rows,)."""
    novelty: Array
    """Cross-fitted novelty per row, (rows,)."""
    crossed: Crossed
    """The checkpoint between the two stages."""


class Crossed(NamedTuple):
    """What the first stage hands to the second: a checkpoint from which either can be done again by itself."""

    shapes: Array
    """Shape of the cross-fitted scores, (rows, H, 14): see `score_shape`."""
    right: npt.NDArray[np.bool_]
    """Whether the best value is the incumbent's, (rows, H)."""


class Prepared(NamedTuple):
    """Rows as the linear models see them."""

    heads: tuple[Head, ...]
    targets: npt.NDArray[np.int64]
    """(rows, H): see `_targets`."""
    rows: list[Features]
    views: tuple[Matrix, Matrix]
    """Words and characters, (rows, columns) each."""
    vocabulary: list[str]
    idf: Array
    fold: npt.NDArray[np.int64]
    """Which fold holds each row out, (rows,)."""
    width: int
    """Values of the widest head, padded."""


def field_values(kind: str, paths: Sequence[tuple[str, ...]], answer: str) -> dict[tuple[str, ...], str] | None:
    """Path → value of a closed answer; None if the answer has not the form."""
    if kind == "label":
        return {(): answer.strip()}
    parsed = parse_object(answer)
    if parsed is None:
        return None
    found = leaves(parsed)
    return {path: found.get(path, ABSENT) for path in paths} if set(found) <= set(paths) else None


def fit_classifier(prompts: Sequence[str], answers: Sequence[dict[tuple[str, ...], str] | None], seed: int) -> Fitted:
    """Fit on prompts and their closed answers (None where an answer had not the form: it counts as never right).

    The same rows in the same order and the same seed give the same arrays on one kind of machine.
    """
    tokens = [tokens_of(prompt) for prompt in prompts]
    ready = _prepared(prompts, tokens, answers, seed)
    scores = [np.full((len(prompts), len(ready.heads), ready.width), PAD, np.float32) for _ in ready.views]
    mean_weights = [np.zeros((len(ready.idf), len(ready.heads) * ready.width), np.float32) for _ in ready.views]
    mean_bias = [np.zeros(len(ready.heads) * ready.width, np.float32) for _ in ready.views]
    for number in range(FOLDS):
        held_out = ready.fold == number
        for view, (weights, bias, scored) in enumerate(_fold_models(ready, number, seed)):
            scores[view][held_out] = scored
            mean_weights[view] += weights / FOLDS
            mean_bias[view] += bias / FOLDS
    log_counts = _log_counts(ready.targets, ready.heads, ready.width)
    crossed = _crossed(ready.rows, scores[0], scores[1], log_counts, ready.targets)
    second, signals = second_stage(crossed)
    tensors: dict[str, npt.NDArray[np.generic]] = {
        **_vocabulary_tensors(ready),
        # A gram belongs to one view, so each row of one of the two is zero and their sum holds both.
        "weights": (mean_weights[0] + mean_weights[1]).astype(np.float16),
        "bias": np.stack(mean_bias).astype(np.float32),
        "log_counts": log_counts,
        "second": second,
    }
    wrong = np.logical_not(crossed.right.all(axis=1))
    return Fitted(ready.heads, tensors, signals, wrong, _cross_novelty(tokens, ready.fold), crossed)


class Refitted(NamedTuple):
    """What can be had of a training without all of it: everything before the first stage, and one fold of that."""

    before: dict[str, npt.NDArray[np.generic]]
    """Tensors that are counted from all rows, by name."""
    novelty: Array
    """Per row, as in `Fitted`."""
    places: npt.NDArray[np.int64]
    """The rows that the fold held out, (n,)."""
    crossed: Crossed
    """Their part of the checkpoint, (n, H, 14) and (n, H)."""


def fit_fold(
    prompts: Sequence[str], answers: Sequence[dict[tuple[str, ...], str] | None], seed: int, number: int
) -> Refitted:
    """Count all rows and fit one fold's models alone, as `fit_classifier` does."""
    tokens = [tokens_of(prompt) for prompt in prompts]
    ready = _prepared(prompts, tokens, answers, seed)
    places = np.flatnonzero(ready.fold == number)
    words, characters = (scored for _, _, scored in _fold_models(ready, number, seed))
    log_counts = _log_counts(ready.targets, ready.heads, ready.width)
    rows = [ready.rows[place] for place in places]
    crossed = _crossed(rows, words, characters, log_counts, ready.targets[places])
    before = {**_vocabulary_tensors(ready), "log_counts": log_counts}
    return Refitted(before, _cross_novelty(tokens, ready.fold), places, crossed)


def _vocabulary_tensors(ready: Prepared) -> dict[str, npt.NDArray[np.generic]]:
    return {"vocabulary": np.frombuffer("\n".join(ready.vocabulary).encode(), np.uint8), "idf": ready.idf}


def _prepared(
    prompts: Sequence[str],
    tokens: Sequence[list[str]],
    answers: Sequence[dict[tuple[str, ...], str] | None],
    seed: int,
) -> Prepared:
    heads = _heads([answer for answer in answers if answer is not None])
    featuriser, vocabulary, idf = _vocabulary(tokens)
    rows = [featuriser(prompt) for prompt in prompts]
    return Prepared(
        heads=heads,
        targets=_targets(heads, answers),
        rows=rows,
        views=_matrices(rows, len(idf)),
        vocabulary=vocabulary,
        idf=idf,
        fold=np.random.default_rng(seed).integers(0, FOLDS, len(prompts)),
        width=max(MIN_WIDTH, *(len(head.values) for head in heads)),
    )


def _fold_models(ready: Prepared, number: int, seed: int) -> Iterator[tuple[Array, Array, Array]]:
    """Per view, the weights and bias of models that have not seen a fold, and its rows' scores, (n, H, K)."""
    held_out = ready.fold == number
    for view in ready.views:
        weights, bias = _linear(view[~held_out], ready.targets[~held_out], ready.heads, ready.width, seed)
        yield weights, bias, (view[held_out] @ weights + bias).reshape(-1, len(ready.heads), ready.width)


def _heads(answers: Sequence[dict[tuple[str, ...], str]]) -> tuple[Head, ...]:
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for answer in answers:
        for path, value in answer.items():
            counts.setdefault(path, Counter())[value] += 1
    return tuple(
        Head(
            path=path, values=tuple(sorted(v for v, n in values.items() if n >= _MIN_ROWS_PER_VALUE)) or (max(values),)
        )
        for path, values in sorted(counts.items())
    )


def _targets(heads: Sequence[Head], answers: Sequence[dict[tuple[str, ...], str] | None]) -> npt.NDArray[np.int64]:
    """Index of each row's value per head, (rows, heads); −1 where the head does not have the value."""
    places = [{value: place for place, value in enumerate(head.values)} for head in heads]
    return np.array(
        [
            [
                -1 if answer is None else place.get(answer[head.path], -1)
                for head, place in zip(heads, places, strict=True)
            ]
            for answer in answers
        ],
        np.int64,
    )


def _vocabulary(texts: Sequence[list[str]]) -> tuple[Featuriser, list[str], Array]:
    """Grams in at least two texts, the commonest first, and their smoothed inverse document frequencies."""
    frequency: Counter[str] = Counter()
    for tokens in texts:
        characters = (gram for token in set(tokens) for gram in character_grams(token))
        frequency.update({*stem_grams(tokens), *near_grams(tokens), *characters})
    kept = sorted((gram for gram, count in frequency.items() if count > 1), key=lambda gram: (-frequency[gram], gram))
    kept = kept[:MAX_COLUMNS] or ["s "]
    idf = np.array([math.log((1 + len(texts)) / (1 + frequency[gram])) + 1 for gram in kept], np.float32)
    return Featuriser({gram: column for column, gram in enumerate(kept)}, idf), kept, idf


def _matrices(rows: Sequence[Features], columns: int) -> tuple[Matrix, Matrix]:
    def stacked(indices: list[npt.NDArray[np.int64]], values: list[Array]) -> Matrix:
        starts = np.cumsum([0, *(len(index) for index in indices)])
        return sp.csr_matrix(
            (np.concatenate(values), np.concatenate(indices), starts), shape=(len(rows), columns), dtype=np.float32
        )

    return (
        stacked([row.words for row in rows], [row.word_weights for row in rows]),
        stacked([row.characters for row in rows], [row.character_weights for row in rows]),
    )


def _linear(
    view: Matrix, targets: npt.NDArray[np.int64], heads: Sequence[Head], width: int, seed: int
) -> tuple[Array, Array]:
    """One-against-the-rest linear SVMs for every head: weights (columns, H·K) and bias (H·K,)."""
    # Loaded where it is used, as below: the loop's service imports this room and trains in other processes.
    from sklearn.svm import LinearSVC

    weights = np.zeros((view.shape[1], len(heads) * width), np.float32)
    bias = np.full(len(heads) * width, PAD, np.float32)
    for number, head in enumerate(heads):
        start = number * width
        bias[start : start + len(head.values)] = MISSING
        usable = targets[:, number] >= 0
        goal = targets[usable, number]
        values = np.unique(goal)
        if len(values) == 1:
            bias[start + values[0]] = 1.0
        elif len(values) > 1:
            model: Any = LinearSVC(C=1.0, tol=1e-3, random_state=seed)
            model.fit(view[usable], goal)
            both = len(values) == 2
            found = np.vstack((-model.coef_, model.coef_)) if both else model.coef_
            offset = np.concatenate((-model.intercept_, model.intercept_)) if both else model.intercept_
            weights[:, start + values] = found.T
            bias[start + values] = offset
    return weights, bias


def _log_counts(targets: npt.NDArray[np.int64], heads: Sequence[Head], width: int) -> Array:
    counts = np.zeros((len(heads), width), np.float32)
    for number in range(len(heads)):
        own = targets[:, number]
        counts[number] = np.bincount(own[own >= 0], minlength=width)[:width]
    return np.log1p(counts)


def _crossed(
    rows: Sequence[Features], words: Array, characters: Array, log_counts: Array, targets: npt.NDArray[np.int64]
) -> Crossed:
    scored = [score_shape(w, c, row, log_counts) for w, c, row in zip(words, characters, rows, strict=True)]
    right = np.stack([best for best, _ in scored]) == targets
    return Crossed(np.stack([shape for _, shape in scored]), right)


def second_stage(crossed: Crossed) -> tuple[Array, Array]:
    """Weights of the second stage, (H, 15), and the signal per row, (rows,)."""
    shapes, right = crossed
    second = np.stack([_trust(shapes[:, head], right[:, head]) for head in range(shapes.shape[1])])
    logits = np.einsum("rhf,hf->rh", shapes, second[:, :-1]) + second[:, -1]
    signals = (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).prod(axis=1)
    return second.astype(np.float32), signals.astype(np.float32)


def _trust(shape: Array, right: npt.NDArray[np.bool_]) -> Array:
    """Logistic regression of being right on the scores' shape; with hardly any wrong answers, the margin alone."""
    from sklearn.linear_model import LogisticRegression

    if (~right).sum() < _MIN_WRONG or right.sum() < _MIN_WRONG:
        margin = np.zeros(shape.shape[1] + 1, np.float32)
        margin[0] = 3.0
        return margin
    centre, spread = shape.mean(0), shape.std(0) + 1e-3
    model: Any = LogisticRegression(C=0.3, max_iter=500)
    model.fit((shape - centre) / spread, right)
    weights: Array = np.asarray(model.coef_[0] / spread, np.float32)
    return np.append(weights, np.float32(model.intercept_[0] - weights @ centre))


def _cross_novelty(texts: Sequence[list[str]], fold: npt.NDArray[np.int64]) -> Array:
    """Share of each text's words that no text of the other folds has twice."""
    stems = [set(stem_grams(tokens)[: len(tokens)]) for tokens in texts]
    total = Counter[str](stem for row in stems for stem in row)
    own = [
        Counter[str](stem for row, f in zip(stems, fold, strict=True) if f == n for stem in row) for n in range(FOLDS)
    ]
    numbers: list[int] = fold.tolist()
    return np.array(
        [
            sum(total[stem] - own[number][stem] < 2 for stem in row) / max(1, len(row))
            for row, number in zip(stems, numbers, strict=True)
        ],
        np.float32,
    )
