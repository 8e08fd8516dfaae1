"""What others do: rank requests by a predicted loss, and pick the threshold that looks right, untested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.linear_model
from numpy.typing import NDArray

from freehold.evaluate.ladder import Answered
from freehold.signals.prompts import NEIGHBOURS
from freehold.stats.walks import Risk, risk_losses
from freehold.train.ladder import Prepared
from freehold.train.router import task_means
from freehold.train.space import counts_of, fit_space, idf_of, place, tf_idf

Floats = NDArray[np.float64]
Baseline = Callable[[Prepared, Prepared, int, int], Floats]
"""(rows to fit on, rows to predict, candidate counted from 0, seed) → predicted loss of each row."""
LogisticRegression: Any = sklearn.linear_model.LogisticRegression


def random(fit: Prepared, rows: Prepared, candidate: int, seed: int) -> Floats:
    """No signal at all."""
    return np.random.default_rng(seed).random(len(rows.texts))


def per_task_mean(fit: Prepared, rows: Prepared, candidate: int, seed: int) -> Floats:
    """The mean loss of the request's task; within a task, in random order."""
    names = {task: code for code, task in enumerate(sorted(set(fit.tasks)))}
    codes = np.array([names[task] for task in fit.tasks])
    means = task_means(codes, fit.losses[:, [candidate]], len(names))[:, 0]
    ties = np.random.default_rng(seed).random(len(rows.tasks))
    return means[[names.get(task, len(names)) for task in rows.tasks]] + 1e-9 * ties


def knn(fit: Prepared, rows: Prepared, candidate: int, seed: int) -> Floats:
    """The mean loss of the 40 nearest prompts, by TF-IDF of hashed words on its 64 main axes."""
    space = fit_space(fit.texts, seed)
    places, references = place(space, rows.texts).places, place(space, fit.texts).places.T
    losses = fit.losses[:, candidate]
    found = np.zeros(len(rows.texts))
    for start in range(0, len(found), 1024):
        similar = places[start : start + 1024] @ references
        nearest = np.argpartition(similar, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        weights = np.maximum(np.take_along_axis(similar, nearest, 1), 0.0) + 1e-9
        found[start : start + 1024] = (weights * losses[nearest]).sum(1) / weights.sum(1)
    return found


def logistic(fit: Prepared, rows: Prepared, candidate: int, seed: int) -> Floats:
    """Logistic regression on hashed n-grams: the chance that the candidate does worse than the incumbent."""
    worse = fit.losses[:, candidate] > 0.0
    if worse.all() or not worse.any():
        return np.full(len(rows.texts), float(worse.mean()))
    counts = counts_of(fit.texts)
    idf = idf_of(counts)
    model = LogisticRegression(C=1.0, max_iter=200).fit(tf_idf(counts, idf), worse)
    return np.asarray(model.predict_proba(tf_idf(counts_of(rows.texts), idf)))[:, 1]


BASELINES: dict[str, Baseline] = {
    "random": random,
    "per_task_mean": per_task_mean,
    "knn": knn,
    "logistic": logistic,
}


def naive_threshold(predicted: Floats, rows: Prepared, candidate: int, risk: Risk, epsilon: float) -> float:
    """The predicted loss up to which requests are moved: the laxest whose measured loss on `rows` looks fine."""
    order = np.argsort(predicted, kind="stable")
    sums = np.cumsum(rows.losses[order, candidate])
    counted = np.arange(1, len(order) + 1) if risk == "served" else len(order)
    fine = np.flatnonzero(sums / counted <= epsilon)
    return float(predicted[order][fine[-1]]) if len(fine) else -np.inf


def move(predicted: Floats, threshold: float, rows: Prepared, candidate: int) -> Answered:
    """The candidate answers whatever is predicted to lose at most `threshold`."""
    accepted = predicted <= threshold
    return Answered(
        losses=np.where(accepted, rows.losses[:, candidate], 0.0),
        accepted=accepted,
        dollars=np.where(accepted, rows.costs[:, candidate + 1], rows.costs[:, 0]),
        answerer=np.where(accepted, candidate + 1, 0),
    )


def risk_of(done: Answered, risk: Risk) -> float:
    """The measured risk; 0 where nothing was moved."""
    losses = risk_losses(done.losses, done.accepted, risk)
    return float(losses.mean()) if losses.size else 0.0
