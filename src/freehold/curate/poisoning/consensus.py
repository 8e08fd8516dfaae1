"""What all others say the answer to each prompt is: cross-validated by key, so that nobody vouches for themselves.

A claim is contradicted where another answer is predicted with the confidence that rows of that answer have on average:
the rule of confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 2021). Predictions are of models that saw no row of the same key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
MAX_VALUES = 300
"""Answers with more different values are open: a model that learns them by name cannot say what is right."""
MIN_ROWS = 50
"""Fewer rows are no crowd to be held against."""
MIN_OF_VALUE = 3
"""Fewer rows of an answer are not enough to know it by."""
COVERED = 0.8
"""Share of the rows whose answer must be such a value."""
_COLUMNS = 2**18
_MODEL: dict[str, Any] = {"loss": "log_loss", "alpha": 1e-5, "max_iter": 15, "tol": None}
"""Logistic regression, by a fixed number of passes: it is the same however well it converges."""


class Consensus(NamedTuple):
    """What the others say, per row of the claims."""

    contradicted: NDArray[np.bool_]
    """(n,): a row's claim is confidently contradicted."""
    reason: str
    """Why there is none, and nothing is contradicted; empty if there is one."""


def find_consensus(claimed: pl.DataFrame, seed: int = 0) -> Consensus:
    """Hold each claim (see `freehold.curate.poisoning.claims`) against what rows of other keys predict.

    The same rows give the same result on one kind of machine.
    """
    nothing = np.zeros(claimed.height, np.bool_)
    values = _values(claimed)
    rights = claimed.get_column("right").drop_nulls()
    if claimed.height < MIN_ROWS:
        return Consensus(nothing, f"There are too few rows: {claimed.height} of {MIN_ROWS}.")
    if len(values) > MAX_VALUES or rights.filter(rights.is_in(values)).len() < COVERED * rights.len():
        return Consensus(nothing, "The answers are open: there is no list of values to predict.")
    if len(values) < 2:
        return Consensus(nothing, "All rows have one answer.")
    chances = _predicted(claimed, values, seed)
    return Consensus(_contradicted(claimed, values, chances), "")


def folds_of(claimed: pl.DataFrame) -> NDArray[np.int64]:
    """The fold of each row, (n,): all rows of a key share one, and rows without a key are spread by their ids."""
    keys, rows = claimed.get_column("key").to_list(), claimed.get_column("row").to_list()
    ranked = {
        key: place % FOLDS for place, key in enumerate(sorted({key for key in keys if key is not None}, key=_hash))
    }
    return np.array(
        [ranked[key] if key is not None else _hash(row) % FOLDS for key, row in zip(keys, rows, strict=True)], np.int64
    )


def _values(claimed: pl.DataFrame) -> list[str]:
    """The answers that enough rows claim, in alphabetical order."""
    counts = claimed.get_column("right").drop_nulls().value_counts()
    return sorted(counts.filter(pl.col("count") >= MIN_OF_VALUE).get_column("right").to_list())


def _predicted(claimed: pl.DataFrame, values: list[str], seed: int) -> NDArray[np.float64]:
    """The probability of each value for each row, by a model of the other folds: (n, values)."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    vectors: Any = HashingVectorizer(n_features=_COLUMNS, ngram_range=(1, 2), alternate_sign=False, norm="l2")
    features = vectors.transform(claimed.get_column("prompt").to_list())
    place = {value: number for number, value in enumerate(values)}
    target = np.array([place.get(right, -1) for right in claimed.get_column("right").to_list()], np.int64)
    fold = folds_of(claimed)
    chances = np.zeros((claimed.height, len(values)))
    for number in range(FOLDS):
        learn, held_out = (fold != number) & (target >= 0), fold == number
        seen = np.unique(target[learn])
        if not held_out.any() or len(seen) < 2:
            continue
        model: Any = SGDClassifier(**_MODEL, random_state=seed)
        model.fit(features[learn], target[learn])
        chances[np.ix_(held_out, seen)] = model.predict_proba(features[held_out])
    return chances


def _contradicted(claimed: pl.DataFrame, values: list[str], chances: NDArray[np.float64]) -> NDArray[np.bool_]:
    place = {value: number for number, value in enumerate(values)}
    right = np.array([place.get(value, -1) for value in claimed.get_column("right").to_list()], np.int64)
    refused = claimed.get_column("right").is_null().to_numpy()
    answer = np.array([place.get(value, -1) for value in claimed.get_column("answer").to_list()], np.int64)
    usual = np.array([chances[right == number, number].mean() if (right == number).any() else 1.0
                      for number in range(len(values))])  # fmt: skip
    sure = np.where(chances >= np.maximum(usual, 1.0 / len(values)), chances, 0.0)
    best, is_sure = sure.argmax(axis=1), sure.max(axis=1) > 0.0
    against_claim = is_sure & (right >= 0) & (best != right)
    against_refusal = is_sure & refused & (answer >= 0) & (best == answer)
    return (against_claim | against_refusal) & claimed.get_column("judged").to_numpy()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
