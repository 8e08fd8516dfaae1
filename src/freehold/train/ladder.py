"""Fit a router's estimates: from prompts (`freehold.train.router`), and, for cascades, from answers as well.

What is expected of the rows fitted on is cross-fitted, so that orders of rungs and walks may be chosen on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import sklearn.linear_model
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from freehold.domain.errors import EvidenceError
from freehold.signals.answers import ANSWER_FEATURES, AnswerSignals, answer_features, final_answer
from freehold.signals.ladder import Expected, spread_of
from freehold.signals.outcomes import Outcomes
from freehold.signals.router import SEEN, Signal, seen_features
from freehold.signals.text import HashedText
from freehold.train.router import FOLDS, FittedPrompts, fit_prompts, predict_prompts, task_means, task_rows

Floats = NDArray[np.float64]
Ridge: Any = sklearn.linear_model.Ridge  # scikit-learn has no types
ANSWER_RIDGE = 20.0
MOST_RUNGS = 3


class Prepared(NamedTuple):
    """Outcomes as the fit reads them: hashed prompts, groups of equal ones, costs in the incumbent's mean."""

    texts: list[HashedText]
    tasks: list[str]
    groups: NDArray[np.intp]
    losses: Floats
    costs: Floats
    finals: list[list[str]]
    """Final answers of the candidates, (k) × (n); empty without answers."""
    heard: list[list[AnswerSignals]]
    """What is known of the candidates' answers, likewise."""
    mean_cost: float

    def take(self, rows: NDArray[np.intp]) -> Prepared:
        """The same of some rows; the unit of costs stays."""
        groups = np.unique(self.groups[rows], return_inverse=True)[1]
        return Prepared(
            [self.texts[row] for row in rows],
            [self.tasks[row] for row in rows],
            groups,
            self.losses[rows],
            self.costs[rows],
            [[given[row] for row in rows] for given in self.finals],
            [[given[row] for row in rows] for given in self.heard],
            self.mean_cost,
        )


class FittedLadder(NamedTuple):
    """Estimates for one order of rungs."""

    rungs: tuple[int, ...]
    signal: Signal
    spreads: tuple[float, ...]
    weights: Floats
    """Of `seen_features`, (k, SEEN); zeros for candidates that are no rung."""
    means: Floats
    """Of the tasks' answers, (tasks + 1, k, ANSWER_FEATURES)."""
    expected: Expected
    """Cross-fitted, of the rows fitted on."""


def orders(candidates: int, signal: Signal) -> list[tuple[int, ...]]:
    """The ladders to choose from: all sets of at most `MOST_RUNGS` candidates, and in a cascade all their orders."""
    found: list[tuple[int, ...]] = []
    for size in range(1, min(candidates, MOST_RUNGS) + 1):
        every = permutations(range(1, candidates + 1), size)
        found += [order for order in every if signal == "cascade" or order == tuple(sorted(order))]
    return found


def prepare(outcomes: Outcomes, texts: list[HashedText], signal: Signal, *, sampled: bool = False) -> Prepared:
    """Hash nothing twice, and find what answers come down to.

    `sampled`: a cascade asks its models as often as the hints say, looks at whether they agree with themselves, and
    pays for it.

    Raises:
        EvidenceError: a cascade is wanted, but a candidate's answers were not kept; or the incumbent costs nothing.
    """
    mean_cost = float(outcomes.costs[:, 0].mean())
    if not mean_cost > 0.0:
        raise EvidenceError(f"{outcomes.models[0]} costs nothing, so nothing can be saved.", "Give its prices.")
    heard = _heard(outcomes, mean_cost, sampled) if signal == "cascade" else []
    samples = outcomes.hints.samples if sampled and outcomes.hints else 1
    return Prepared(
        texts,
        list(outcomes.tasks),
        _groups(outcomes.prompts),
        outcomes.losses,
        outcomes.spent(samples) / mean_cost,
        [[final_answer(answer.text) for answer in given] for given in heard],
        heard,
        mean_cost,
    )


def _groups(prompts: Sequence[str]) -> NDArray[np.intp]:
    """Numbers that equal prompts share, (n,)."""
    number = {prompt: at for at, prompt in enumerate(sorted(set(prompts)))}
    return np.array([number[prompt] for prompt in prompts], np.intp)


def _heard(outcomes: Outcomes, mean_cost: float, sampled: bool) -> list[list[AnswerSignals]]:
    if outcomes.answers is None:
        raise EvidenceError("A cascade looks at answers, and none were kept.", "Use the signal `prompt`.")
    for model, answers in zip(outcomes.models[1:], outcomes.answers[1:], strict=True):
        if all(answer is None for answer in answers):
            raise EvidenceError(f"The answers of {model} were not kept.", "Use the signal `prompt`.")
    return [
        [outcomes.heard(row, model, mean_cost, sampled=sampled) for row in range(len(outcomes))]
        for model in range(1, len(outcomes.models))
    ]


def fit_ladders(
    rows: Prepared, signal: Signal, *, rungs: Sequence[tuple[int, ...]] | None = None, seed: int = 0
) -> tuple[FittedPrompts, list[FittedLadder]]:
    """Estimates for every order of rungs in `rungs` (default: all).

    Raises: EvidenceError, if there are too few rows.
    """
    with threadpool_limits(1):  # on a busy machine threads that wait for each other cost more than they bring
        return _fit_ladders(rows, signal, orders(rows.losses.shape[1], signal) if rungs is None else rungs, seed)


def _fit_ladders(
    rows: Prepared, signal: Signal, rungs: Sequence[tuple[int, ...]], seed: int
) -> tuple[FittedPrompts, list[FittedLadder]]:
    prompts = fit_prompts(rows.texts, rows.tasks, rows.groups, rows.losses, rows.costs, seed=seed)
    k = rows.losses.shape[1]
    before, costs = prompts.predicted[:, :k], prompts.predicted[:, k:]
    codes = task_rows(prompts.manifest.tasks, rows.tasks)
    ladders: list[FittedLadder] = []
    for order in rungs:
        means = np.zeros((len(prompts.manifest.tasks) + 1, k, ANSWER_FEATURES))
        weights = np.zeros((k, SEEN))
        after = np.zeros_like(before) if signal == "cascade" else None
        spreads: list[float] = []
        for position, rung in enumerate(order if after is not None else ()):
            figures = _figures(rows, costs, rung, order[:position])
            means[:, rung - 1] = task_means(codes, figures, len(prompts.manifest.tasks))
            seen = seen_features(before[:, rung - 1], figures, means[codes, rung - 1])
            weights[rung - 1], crossed = _fit_seen(seen, rows.losses[:, rung - 1], rows.groups, seed)
            assert after is not None
            after[:, rung - 1] = crossed
            spreads.append(spread_of(before[:, rung - 1], crossed))
        expected = Expected(before, costs, prompts.novelty, after)
        ladders.append(FittedLadder(order, signal, tuple(spreads) or (0.0,) * len(order), weights, means, expected))
    return prompts, ladders


def expect(prompts: FittedPrompts, ladder: FittedLadder, rows: Prepared) -> Expected:
    """What the fitted estimates say of other rows."""
    return expect_each(prompts, [ladder], rows)[0]


def expect_each(prompts: FittedPrompts, ladders: Sequence[FittedLadder], rows: Prepared) -> list[Expected]:
    """The same for several orders of rungs; what prompts say is the same for all."""
    k = rows.losses.shape[1]
    predicted, novelty = predict_prompts(prompts, rows.texts, rows.tasks)
    before, costs = predicted[:, :k], predicted[:, k:]
    codes = task_rows(prompts.manifest.tasks, rows.tasks)
    afters = [_after(ladder, rows, before, costs, codes) if ladder.signal == "cascade" else None for ladder in ladders]
    return [Expected(before, costs, novelty, after) for after in afters]


def _after(ladder: FittedLadder, rows: Prepared, before: Floats, costs: Floats, codes: NDArray[np.intp]) -> Floats:
    """Losses expected once each rung has answered, (n, k)."""
    after = np.zeros_like(before)
    for position, rung in enumerate(ladder.rungs):
        figures = _figures(rows, costs, rung, ladder.rungs[:position])
        seen = seen_features(before[:, rung - 1], figures, ladder.means[codes, rung - 1])
        after[:, rung - 1] = seen @ ladder.weights[rung - 1]
    return after


def _figures(rows: Prepared, costs: Floats, rung: int, before: tuple[int, ...]) -> Floats:
    """`answer_features` of a rung's answers, (n, ANSWER_FEATURES)."""
    return np.stack(
        [
            answer_features(
                answer,
                rows.finals[rung - 1][row],
                [rows.finals[earlier - 1][row] for earlier in before],
                costs[row, rung],
            )
            for row, answer in enumerate(rows.heard[rung - 1])
        ]
    )


def _fit_seen(seen: Floats, losses: Floats, groups: NDArray[np.intp], seed: int) -> tuple[Floats, Floats]:
    """Ridge regression of the loss on what is seen: weights (SEEN,), and cross-fitted estimates (n,)."""
    fold = np.random.default_rng(seed + 1).integers(FOLDS, size=int(groups.max()) + 1)[groups]
    crossed = np.zeros(len(losses))
    for held_out in range(FOLDS):
        rest = fold != held_out
        if rest.any() and not rest.all():
            crossed[~rest] = seen[~rest] @ _ridge(seen[rest], losses[rest])
    return _ridge(seen, losses), crossed


def _ridge(seen: Floats, losses: Floats) -> Floats:
    centre, scale = seen[:, 1:].mean(0), seen[:, 1:].std(0) + 1e-6
    fitted = Ridge(alpha=ANSWER_RIDGE).fit((seen[:, 1:] - centre) / scale, losses)
    weights = np.asarray(fitted.coef_) / scale
    return np.concatenate(([float(fitted.intercept_) - float(centre @ weights)], weights))
