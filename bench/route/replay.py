"""Replay recorded outcomes: what a certified router saves, how often its certificate is wrong, and what others do.

    python bench/route/replay.py FILE --incumbent A --candidates B[,C] --epsilon 0.05 --delta 0.05 --splits 200 \
        --risk traffic|served --signal prompt|cascade --shift leave-one-task-out|none --json

FILE has the columns that `freehold plan` reads. Each split puts half of the prompts (equal ones together) into a test
part that nothing looks at; the other half is the evidence, and is split into fit, tune and certify as in the product,
whose code does the work. With `--shift leave-one-task-out` the test part is one whole task, none of which is in the
evidence, and each split leaves out the next one. Prints one JSON object; see `report` for what is in it.

Baselines rank requests by their predicted loss for the candidate with the best mean score; they have the fit rows to
learn from, and all the rest of the evidence to pick the threshold that looks right: a point estimate, untested.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

sys.path.insert(0, str(Path(__file__).parents[2]))
if __name__ == "__main__":  # read when numpy is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from bench.route.baselines import BASELINES, move, naive_threshold
from bench.route.measures import Recovered, Seen, area, best_possible, recovered, seen
from numpy.typing import NDArray

from freehold.curate.outcome_prices import Price, parse_price
from freehold.curate.outcomes import read_outcomes
from freehold.domain.errors import EvidenceError, FreeholdError, RequestError
from freehold.loop.ladders import (
    BuiltLadder,
    Parts,
    Terms,
    answered,
    certify_ladder,
    fit_evidence,
    router_of,
    split,
    with_loss,
)
from freehold.signals.ladder import Expected
from freehold.signals.outcomes import Outcomes
from freehold.signals.prompts import STRANGER
from freehold.signals.router import Router
from freehold.signals.text import hash_text
from freehold.stats.special import normal_cdf, normal_quantile
from freehold.train.ladder import Prepared, expect, prepare

TIMED = 400
"""Decisions timed per split, in the first splits."""


class Problem(NamedTuple):
    """What every split works on."""

    outcomes: Outcomes
    rows: Prepared
    terms: tuple[Terms, ...]
    """One or both risks: what is fitted does not depend on it."""
    shift: str


class SplitResult(NamedTuple):
    """What one split showed."""

    ours: Seen
    best_possible: float
    recovered: Recovered
    auc: float
    certified: bool
    strangers: float
    """Share of test requests that the novelty gate sends to the incumbent."""
    text_gate: Seen
    """The same ladder if tasks were unknown by name, so that only the words of a prompt tell a stranger."""
    ungated: Seen
    allowed: float
    """How often the test loss would exceed ε if certificates were wrong as often as δ allows, by the normal limit."""
    gain: float
    """Saving beyond that of a random mix with the strongest candidate which loses as much."""
    baselines: dict[str, tuple[Seen, float, Recovered]]
    """Name → outcome, best possible saving of its ranking, call curve."""
    seconds: float
    decisions_ms: list[float]


_STAYS = Seen(saving=0.0, served_share=0.0, loss=0.0, violation=False, beyond_noise=False)
_UNKNOWN = Recovered(float("nan"), float("nan"), float("nan"))
NOTHING = SplitResult(
    ours=_STAYS,
    best_possible=float("nan"),
    recovered=_UNKNOWN,
    auc=float("nan"),
    certified=False,
    strangers=float("nan"),
    text_gate=_STAYS,
    ungated=_STAYS,
    allowed=float("nan"),
    gain=0.0,
    baselines=dict.fromkeys(BASELINES, (_STAYS, float("nan"), _UNKNOWN)),
    seconds=float("nan"),
    decisions_ms=[],
)
"""Where the evidence is too small to fit anything on: all requests stay where they are."""


def parts_of(problem: Problem, number: int) -> tuple[Parts, NDArray[np.intp]]:
    """Fit, tune and certify rows of the evidence, and the test rows, of split `number`."""
    groups = problem.rows.groups
    if problem.shift == "none":
        test = np.random.default_rng(10_000 + number).random(int(groups.max()) + 1)[groups] >= 0.5
    else:
        names = sorted(set(problem.rows.tasks))
        left_out = names[number % len(names)]
        test = np.array([task == left_out for task in problem.rows.tasks])
        test &= ~np.isin(groups, groups[~test])
    evidence = np.flatnonzero(~test)
    inside = split(np.unique(groups[evidence], return_inverse=True)[1], number)
    return Parts(*(evidence[part] for part in inside)), np.flatnonzero(test)


def run_split(problem: Problem, number: int) -> list[SplitResult]:
    """Build a ladder for each risk on the evidence of one split, and see what it does on the test rows."""
    first, (parts, test) = problem.terms[0], parts_of(problem, number)
    began = time.process_time()
    try:
        evidence = fit_evidence(problem.rows, parts, first, seed=number)
    except EvidenceError:
        return [NOTHING] * len(problem.terms)
    fitting = time.process_time() - began
    rows = with_loss(problem.rows, first.loss).take(test)
    predicted = dict(predict_baselines(problem, parts, test, number))
    results: list[SplitResult] = []
    for terms in problem.terms:
        began = time.process_time()
        built = certify_ladder(evidence, problem.rows, parts, terms)
        seconds = fitting + time.process_time() - began
        decisions = time_decisions(problem, built, test) if number < 4 else []
        found = look(built, rows, terms)
        rivals = {name: rival(guess, problem, parts, rows, terms) for name, guess in predicted.items()}
        results.append(found._replace(baselines=rivals, seconds=seconds, decisions_ms=decisions))
    return results


def look(built: BuiltLadder, rows: Prepared, terms: Terms) -> SplitResult:
    """What a ladder does on the test rows, with its gate, with the words' part of it, and without."""
    expected = expect(built.prompts, built.fitted, rows)
    unnamed = expect(built.prompts, built.fitted, rows._replace(tasks=[""] * len(rows.tasks)))

    def with_novelty(novelty: NDArray[np.floating[Any]]) -> Seen:
        known = Expected(expected.losses, expected.costs, novelty, expected.after)
        return seen(answered(built, known, rows, built.step), rows, terms.risk, terms.epsilon)

    foreseen = expected.losses if expected.after is None else expected.after
    best = foreseen[:, [rung - 1 for rung in built.fitted.rungs]]
    chosen = np.array(built.fitted.rungs)[best.argmin(1)] - 1
    lost = rows.losses[np.arange(len(rows.losses)), chosen]
    return SplitResult(
        ours=with_novelty(expected.novelty),
        best_possible=best_possible(expected, rows, built.laid.ladder, terms.risk, terms.epsilon),
        recovered=recovered(best.min(1), lost, float(rows.losses.mean(0).max())),
        auc=area(expected, rows, built.laid.ladder, terms.risk, terms.epsilon),
        certified=built.step is not None,
        strangers=float((expected.novelty > built.laid.ladder.novelty_limit).mean()),
        text_gate=with_novelty(nearest_only(unnamed)),
        ungated=with_novelty(np.zeros(len(rows.losses))),
        allowed=with_test_noise(terms.delta, len(built.expected.losses), len(rows.losses)),
        gain=gain_over_random(with_novelty(expected.novelty), rows),
        baselines={},
        seconds=0.0,
        decisions_ms=[],
    )


def with_test_noise(delta: float, certify_rows: int, test_rows: int) -> float:
    """P(test loss > ε) where the certified loss is the largest that δ allows: both parts are samples, and both err."""
    return float(normal_cdf(normal_quantile(delta) / np.sqrt(1.0 + certify_rows / test_rows)))


def gain_over_random(ours: Seen, rows: Prepared) -> float:
    """Saving beyond that of moving requests at random to the strongest candidate until as much is lost."""
    strongest = int(rows.losses.mean(0).argmin())
    everything = float(rows.losses[:, strongest].mean())
    lost = ours.loss if everything > 0.0 else 0.0
    share = min(1.0, max(0.0, lost) / everything) if everything > 0.0 else 1.0
    return ours.saving - share * (1.0 - float(rows.costs[:, strongest + 1].sum() / rows.costs[:, 0].sum()))


def nearest_only(expected: Expected) -> NDArray[np.float64]:
    """Novelty by words: without what an unknown task adds to it."""
    return np.where(expected.novelty >= STRANGER, expected.novelty - STRANGER, expected.novelty)


class Guess(NamedTuple):
    """A baseline's predicted losses of one candidate."""

    candidate: int
    rest: NDArray[np.float64]
    """Of the tune and certify rows."""
    test: NDArray[np.float64]


def predict_baselines(
    problem: Problem, parts: Parts, test: NDArray[np.intp], number: int
) -> Iterator[tuple[str, Guess]]:
    """Each baseline learns from the fit rows, and predicts all others."""
    every = with_loss(problem.rows, problem.terms[0].loss)
    fit, others = every.take(parts.fit), every.take(np.concatenate((parts.tune, parts.certify, test)))
    candidate = int(fit.losses.mean(0).argmin())
    for name, baseline in BASELINES.items():
        predicted = baseline(fit, others, candidate, number)
        yield name, Guess(candidate, predicted[: -len(test)], predicted[-len(test) :])


def rival(guess: Guess, problem: Problem, parts: Parts, rows: Prepared, terms: Terms) -> tuple[Seen, float, Recovered]:
    """A baseline with its naive threshold: outcome, best possible saving of its ranking, call curve."""
    rest = with_loss(problem.rows, terms.loss).take(np.concatenate((parts.tune, parts.certify)))
    candidate = guess.candidate
    threshold = naive_threshold(guess.rest, rest, candidate, terms.risk, terms.epsilon)
    best = naive_threshold(guess.test, rows, candidate, terms.risk, terms.epsilon)
    outcome = seen(move(guess.test, threshold, rows, candidate), rows, terms.risk, terms.epsilon)
    possible = seen(move(guess.test, best, rows, candidate), rows, terms.risk, terms.epsilon).saving
    return outcome, possible, recovered(guess.test, rows.losses[:, candidate], float(rows.losses.mean(0).max()))


def time_decisions(problem: Problem, built: BuiltLadder, test: NDArray[np.intp]) -> list[float]:
    """Milliseconds of CPU per decision, from the prompt's text to the rung that is asked, in one thread."""
    if built.step is None:
        return []
    router = Router(*router_of(built, problem.outcomes.models, problem.rows.mean_cost))
    taken: list[float] = []
    for row in map(int, test[:TIMED]):
        task, prompt = problem.outcomes.tasks[row], problem.outcomes.prompts[row]
        began = time.thread_time()
        prediction = router.predict(task, prompt)
        if router.knows(prediction):
            router.next_rung(prediction)
        taken.append(1e3 * (time.thread_time() - began))
    return taken


def report(results: list[SplitResult], risk: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One object: means over splits, and shares of splits for violations."""
    decisions = np.array([ms for result in results for ms in result.decisions_ms] or [np.nan])
    ours = summary([r.ours for r in results], [r.best_possible for r in results], [r.recovered for r in results])
    gates = {
        "strangers": round(float(np.nanmean([r.strangers for r in results])), 4),
        "text_only": outcome([r.text_gate for r in results]),
        "off": outcome([r.ungated for r in results]),
    }
    return {
        "file": Path(arguments.file).name,
        "incumbent": arguments.incumbent,
        "candidates": arguments.candidates.split(","),
        "epsilon": arguments.epsilon,
        "delta": arguments.delta,
        "splits": len(results),
        "splits_with_enough_evidence": int(np.isfinite([r.seconds for r in results]).sum()),
        "risk": risk,
        "loss_kind": arguments.loss,
        "signal": arguments.signal,
        "shift": arguments.shift,
        "prompts": arguments.prompts,
        "costs": arguments.costs,
        **ours,
        "violations_allowed": round(float(np.nanmean([r.allowed for r in results])), 4),
        "auc": round(float(np.nanmean([r.auc for r in results])), 4),
        "certified": round(float(np.mean([r.certified for r in results])), 4),
        "gate": gates,
        "gain_over_random": round(float(np.mean([r.gain for r in results])), 4),
        "claims_gain": bool(np.mean([r.gain for r in results]) > 1.645 * np.std([r.gain for r in results])),
        "decision_ms_p50": round(float(np.percentile(decisions, 50)), 4),
        "decision_ms_p95": round(float(np.percentile(decisions, 95)), 4),
        "fit_cpu_seconds": round(float(np.nanmedian([r.seconds for r in results])), 2),
        "baselines": {
            name: summary(
                [r.baselines[name][0] for r in results],
                [r.baselines[name][1] for r in results],
                [r.baselines[name][2] for r in results],
            )
            for name in BASELINES
        },
    }


def without_nan(value: Any) -> Any:
    """The same with null for figures that do not exist, as JSON has it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in cast("dict[str, Any]", value).items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def outcome(found: list[Seen]) -> dict[str, float]:
    """What was saved and lost."""
    return {
        "saving": round(float(np.mean([one.saving for one in found])), 4),
        "served_share": round(float(np.mean([one.served_share for one in found])), 4),
        "loss": round(float(np.mean([one.loss for one in found])), 4),
        "violations": round(float(np.mean([one.violation for one in found])), 4),
        "violations_beyond_noise": round(float(np.mean([one.beyond_noise for one in found])), 4),
    }


def summary(found: list[Seen], possible: list[float], curves: list[Recovered]) -> dict[str, float]:
    """`outcome`, with the best possible saving of the same ranking and its call curve."""
    return {
        **outcome(found),
        "best_possible_saving": round(float(np.nanmean(possible)), 4),
        "apgr": round(float(np.nanmean([curve.apgr for curve in curves])), 4),
        "cpt50": round(float(np.nanmean([curve.cpt50 for curve in curves])), 4),
        "cpt80": round(float(np.nanmean([curve.cpt80 for curve in curves])), 4),
    }


def read(arguments: argparse.Namespace) -> tuple[Outcomes, str]:
    """The file's outcomes, and whose dollars they cost; without dollars, calls to the incumbent are counted."""
    models = (arguments.incumbent, *arguments.candidates.split(","))
    path, answers = Path(arguments.file), arguments.signal == "cascade"
    prices = dict(parse_price(price) for price in arguments.price)
    try:
        found = read_outcomes(path, models[0], models[1:], prices=prices, answers=answers)
    except RequestError as error:
        if "cost" not in error.message:
            raise
        prices = {model: Price(request=float(model == models[0])) for model in models}
        found = read_outcomes(path, models[0], models[1:], prices=prices, answers=answers)
        return found.outcomes, "calls to the incumbent: dollars are not known"
    return found.outcomes, ", ".join(sorted(set(found.cost_sources.values())))


_problem: Problem | None = None


def _set(problem: Problem) -> None:
    global _problem
    _problem = problem


def _run(number: int) -> list[SplitResult]:
    assert _problem is not None
    return run_split(_problem, number)


def main() -> None:
    """Read, split, print."""
    parser = argparse.ArgumentParser(description="Replay recorded outcomes over random splits.")
    parser.add_argument("file")
    parser.add_argument("--incumbent", required=True)
    parser.add_argument("--candidates", required=True, help="comma-separated, cheapest first")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--risk", choices=("traffic", "served", "both"), default="traffic")
    parser.add_argument("--loss", choices=("signed", "harm"), default="signed")
    parser.add_argument("--signal", choices=("prompt", "cascade"), default="prompt")
    parser.add_argument("--shift", choices=("leave-one-task-out", "none"), default="none")
    parser.add_argument(
        "--price", action="append", default=[], help="MODEL=IN,OUT per million tokens, or MODEL=DOLLARS"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line, for programs")
    arguments = parser.parse_args()
    outcomes, arguments.costs = read(arguments)
    risks = ("traffic", "served") if arguments.risk == "both" else (arguments.risk,)
    terms = tuple(Terms(arguments.epsilon, arguments.delta, risk, arguments.loss, arguments.signal) for risk in risks)
    if arguments.shift != "none" and len(set(outcomes.tasks)) < 2:
        sys.exit("There is one task only, so none can be left out.")
    arguments.prompts = len(outcomes)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], arguments.signal)
    problem = Problem(outcomes, rows, terms, arguments.shift)
    with ProcessPoolExecutor(arguments.jobs, initializer=_set, initargs=(problem,)) as pool:
        results = list(pool.map(_run, range(arguments.splits)))
    if not any(np.isfinite(result[0].seconds) for result in results):
        sys.exit(
            f"Not enough evidence: half of {len(outcomes)} scored prompts is too few to fit and certify a router on."
        )
    for at, risk in enumerate(risks):  # with --risk both: one object a line
        one = report([result[at] for result in results], risk, arguments)
        print(json.dumps(without_nan(one), indent=None if arguments.json else 2))


if __name__ == "__main__":
    try:
        main()
    except FreeholdError as error:
        sys.exit(str(error))
