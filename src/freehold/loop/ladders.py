"""Fit, lay and certify a ladder on scored outcomes: the one way, for plans, replays and the running loop alike."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError
from freehold.evaluate.ladder import Answered, Ladder, Laid, answer, best_laid, certify_walk, lay_walk, tests_of
from freehold.signals.ladder import Expected, Step
from freehold.signals.router import RouterManifest, Signal
from freehold.stats.betting import PValue
from freehold.stats.walks import Risk, WalkResult
from freehold.train.ladder import FittedLadder, Prepared, expect, expect_each, fit_ladders
from freehold.train.router import FittedPrompts

FIT, TUNE = 0.38, 0.08
"""Shares of the evidence; the rest certifies. See `split`."""
MIN_EACH = 40
NOVELTY_KEPT = 0.97
"""Share of the tune rows that is not novel: the rest is what the gate costs."""
ROUNDING = 1e-5
"""Prompts as novel as the limit itself are let through, though a gateway computes with half the digits."""
Loss = Literal["signed", "harm"]
Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[np.generic]]


class Parts(NamedTuple):
    """Disjoint rows of the evidence; equal prompts are always in the same part."""

    fit: NDArray[np.intp]
    tune: NDArray[np.intp]
    certify: NDArray[np.intp]


class Terms(NamedTuple):
    """What shall be certified, and how."""

    epsilon: float
    delta: float
    risk: Risk = "traffic"
    loss: Loss = "signed"
    signal: Signal = "prompt"


class LaidLadder(NamedTuple):
    """A ladder that no certify row has been looked at for."""

    prompts: FittedPrompts
    fitted: FittedLadder
    laid: Laid
    expected: Expected
    """Of the fit and tune rows, with what they lost, (n, k), and took, (n, k + 1)."""
    losses: Floats
    costs: Floats


class BuiltLadder(NamedTuple):
    """A ladder, and what its certify part said."""

    prompts: FittedPrompts
    fitted: FittedLadder
    laid: Laid
    test: str
    """Name of the tests."""
    tests: list[PValue]
    """One per step."""
    result: WalkResult | None
    """None: there was no walk to test."""
    expected: Expected
    """Of the certify rows."""

    @property
    def step(self) -> Step | None:
        """The laxest certified step; None if nothing is certified."""
        return self.laid.steps[self.result.certified - 1] if self.result and self.result.certified else None


def split(groups: NDArray[np.intp], seed: int) -> Parts:
    """Fit, tune and certify rows at random, equal prompts together.

    Shares chosen by measurement (docs/log.md): estimates need few rows to tell tasks apart, a certificate needs many.
    """
    share = np.random.default_rng(seed).random(int(groups.max()) + 1)[groups]
    fit, tune = np.flatnonzero(share < FIT), np.flatnonzero((share >= FIT) & (share < FIT + TUNE))
    return Parts(fit, tune, np.flatnonzero(share >= FIT + TUNE))


def with_loss(rows: Prepared, loss: Loss) -> Prepared:
    """The rows with the loss that shall be certified: gains forgive harm (`signed`), or do not (`harm`)."""
    return rows._replace(losses=np.maximum(rows.losses, 0.0)) if loss == "harm" else rows


class FittedEvidence(NamedTuple):
    """What fit and tune rows gave: estimates for every order of rungs, and what they say of all rows."""

    prompts: FittedPrompts
    ladders: list[FittedLadder]
    novelty_limit: float
    chosen_on: list[Expected]
    """Per ladder: of the fit rows (cross-fitted) and the tune rows."""


def build_ladder(rows: Prepared, parts: Parts, terms: Terms, *, seed: int = 0) -> BuiltLadder:
    """Fit on `parts.fit`, choose on fit and tune rows, and look at the certify rows once.

    Raises:
        EvidenceError: too few rows in a part.
    """
    return certify_ladder(fit_evidence(rows, parts, terms, seed=seed), rows, parts, terms)


def fit_evidence(rows: Prepared, parts: Parts, terms: Terms, *, seed: int = 0) -> FittedEvidence:
    """All that does not depend on ε, δ or the kind of risk.

    Raises:
        EvidenceError: too few rows in a part.
    """
    if min(len(parts.fit), len(parts.certify)) < MIN_EACH or not len(parts.tune):
        raise EvidenceError(
            f"{len(rows.texts)} scored prompts are too few to fit, tune and certify on ({MIN_EACH} at least each).",
            "Score more requests.",
        )
    rows = with_loss(rows, terms.loss)
    prompts, ladders = fit_ladders(rows.take(parts.fit), terms.signal, seed=seed)
    on_tune = expect_each(prompts, ladders, rows.take(parts.tune))
    return FittedEvidence(
        prompts,
        ladders,
        float(np.quantile(on_tune[0].novelty, NOVELTY_KEPT)) + ROUNDING,
        [join(fitted.expected, known) for fitted, known in zip(ladders, on_tune, strict=True)],
    )


def lay_ladder(evidence: FittedEvidence, rows: Prepared, parts: Parts, terms: Terms) -> LaidLadder:
    """Lay a walk for every order of rungs and take the one that promises most; certify rows are only counted."""
    rows = with_loss(rows, terms.loss)
    chosen = rows.take(np.concatenate((parts.fit, parts.tune)))
    laid = [
        lay_walk(
            known,
            chosen.losses,
            chosen.costs,
            Ladder(fitted.rungs, fitted.spreads, evidence.novelty_limit),
            risk=terms.risk,
            epsilon=terms.epsilon,
            delta=terms.delta,
            certify_rows=len(parts.certify),
        )
        for fitted, known in zip(evidence.ladders, evidence.chosen_on, strict=True)
    ]
    best = best_laid(laid)
    at = next(at for at, walk in enumerate(laid) if walk is best)
    fitted, known = evidence.ladders[at], evidence.chosen_on[at]
    return LaidLadder(evidence.prompts, fitted, best, known, chosen.losses, chosen.costs)


def certify_ladder(evidence: FittedEvidence, rows: Prepared, parts: Parts, terms: Terms) -> BuiltLadder:
    """Lay a ladder and test its walk on the certify rows."""
    prompts, fitted, best, _, losses, _ = lay_ladder(evidence, rows, parts, terms)
    certify = with_loss(rows, terms.loss).take(parts.certify)
    expected = expect(prompts, fitted, certify)
    if not best.steps:
        return BuiltLadder(prompts, fitted, best, "", [], None, expected)
    tests, name = tests_of(best, losses, terms.delta)
    result = certify_walk(
        best,
        expected,
        certify.losses,
        certify.costs,
        tests=tests,
        risk=terms.risk,
        epsilon=terms.epsilon,
        delta=terms.delta,
    )
    return BuiltLadder(prompts, fitted, best, name, tests, result, expected)


def join(first: Expected, second: Expected) -> Expected:
    """What is expected of both, one after the other."""
    after = None
    if first.after is not None and second.after is not None:
        after = np.vstack((first.after, second.after))
    return Expected(
        np.vstack((first.losses, second.losses)),
        np.vstack((first.costs, second.costs)),
        np.concatenate((first.novelty, second.novelty)),
        after,
    )


def answered(built: BuiltLadder, expected: Expected, rows: Prepared, step: Step | None) -> Answered:
    """What the ladder does with rows at a step; without one, the incumbent answers everything."""
    if step is None:
        n = len(rows.losses)
        return Answered(np.zeros(n), np.zeros(n, bool), rows.costs[:, 0], np.zeros(n, np.intp))
    return answer(expected, rows.losses, rows.costs, built.laid.ladder, step)


def router_of(built: BuiltLadder, models: tuple[str, ...], mean_cost: float) -> tuple[RouterManifest, Tensors]:
    """The certified ladder as the gateway loads it: see `freehold.signals.router.Router`.

    `models`: the incumbent and the candidates; `mean_cost`: dollars per request of the incumbent, the unit of costs.

    Raises:
        EvidenceError: nothing is certified.
    """
    if built.step is None:
        raise EvidenceError("Nothing is certified, so there is nothing to route.", "See `freehold plan`.")
    return router_at(built, models, mean_cost, built.step)


def router_at(
    ladder: BuiltLadder | LaidLadder, models: tuple[str, ...], mean_cost: float, step: Step
) -> tuple[RouterManifest, Tensors]:
    """The same at any step."""
    manifest = RouterManifest(
        models=models,
        rungs=ladder.fitted.rungs,
        signal=ladder.fitted.signal,
        spreads=ladder.fitted.spreads,
        novelty_limit=ladder.laid.ladder.novelty_limit,
        mean_cost=mean_cost,
        step=step,
        prompts=ladder.prompts.manifest,
    )
    tensors = dict(ladder.prompts.tensors)
    if ladder.fitted.signal == "cascade":
        tensors |= {"answers": ladder.fitted.weights, "answer_means": ladder.fitted.means}
    return manifest, tensors
