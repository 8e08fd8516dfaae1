"""`freehold plan`: from recorded outcomes to what could move, at which certified loss, and what it would save.

Nothing is changed. The same code fits, lays and certifies as in the running loop (`freehold.loop.ladders`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError
from freehold.domain.plans import CurvePoint, ModelFacts, MoreEvidence, Plan, TaskPlan
from freehold.evaluate.ladder import Answered, answer, bound, every_step, lay_walk
from freehold.loop.ladders import BuiltLadder, Parts, Terms, answered, build_ladder, join, split, with_loss
from freehold.signals.ladder import Expected, Step
from freehold.signals.outcomes import Outcomes
from freehold.signals.text import hash_text
from freehold.stats.special import normal_quantile
from freehold.stats.walks import risk_losses
from freehold.train.ladder import Prepared, expect, prepare

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the work that is behind."""
_GROWTHS = (2, 4, 8, 16)
_MOST = 1024
"""Evidence is not planned for beyond this many times what there is."""


def make_plan(
    outcomes: Outcomes,
    terms: Terms,
    *,
    left_out: dict[str, int] | None = None,
    seed: int = 0,
    progress: Progress = lambda doing, share: None,
) -> Plan:
    """Plan a move away from `outcomes.models[0]`.

    Raises:
        EvidenceError: the outcomes cannot be planned on at all: no model is scored apart from another, the incumbent
            costs nothing, or a cascade is wanted of answers that were not kept.
    """
    _check(outcomes)
    progress("Reading prompts", 0.0)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], terms.signal)
    plain = _facts(outcomes, terms, left_out or {})
    parts = split(rows.groups, seed)
    progress("Fitting and certifying", 0.2)
    try:
        built = build_ladder(rows, parts, terms, seed=seed)
    except EvidenceError as error:
        return msgspec.structs.replace(plain, reason=f"Not enough evidence: {error.message}", needed=_wanted(rows))
    progress("Drawing", 0.8)
    rows = with_loss(rows, terms.loss)
    certify = rows.take(parts.certify)
    done = answered(built, built.expected, certify, built.step)
    certified = built.step is not None
    view = msgspec.structs.replace(
        plain,
        parts={"fit": len(parts.fit), "tune": len(parts.tune), "certify": len(parts.certify)},
        certified=certified,
        rungs=(*(outcomes.models[rung] for rung in built.fitted.rungs), outcomes.models[0]),
        test=built.test,
        served_share=float(done.accepted.mean()),
        saving=_saving(done, certify),
        dollars=_saving(done, certify) * plain.incumbent_dollars,
        limit=_limit(built, certify, terms),
        tasks=_tasks(outcomes, parts.certify, done),
        operating_point=_point(outcomes, parts.certify, certify, done) if certified else None,
        **_gate(built, certify),
        **_pictures(outcomes, parts.certify, certify, built, terms),
        **_outlook(rows, parts, built, terms, certified=certified),
    )
    return msgspec.structs.replace(view, **_statement(built, certify, terms, view))


def _check(outcomes: Outcomes) -> None:
    if not len(outcomes):
        raise EvidenceError("No prompt has a score of every model.", "Score the same prompts with all models.")
    if np.unique(outcomes.scores).size < 2:
        raise EvidenceError(
            f"Every one of the {outcomes.scores.size} scores is {outcomes.scores.flat[0]:g}: they tell nothing apart.",
            "Check the scorer; a certificate needs scores that could have been worse.",
        )


def _facts(outcomes: Outcomes, terms: Terms, left_out: dict[str, int]) -> Plan:
    """All that needs no fitting."""
    owned = outcomes.owned or (False,) * len(outcomes.models)
    facts = tuple(
        ModelFacts(model, float(outcomes.scores[:, at].mean()), float(outcomes.costs[:, at].mean()), owned[at])
        for at, model in enumerate(outcomes.models)
    )
    return Plan(
        incumbent=outcomes.models[0],
        candidates=outcomes.models[1:],
        epsilon=terms.epsilon,
        delta=terms.delta,
        risk=terms.risk,
        loss=terms.loss,
        signal=terms.signal,
        rows=len(outcomes),
        left_out=left_out,
        parts={},
        certified=False,
        reason="",
        rungs=(outcomes.models[0],),
        test="",
        p_value=None,
        loss_estimate=None,
        loss_upper=None,
        served_share=0.0,
        saving=0.0,
        dollars=0.0,
        incumbent_dollars=1000.0 * facts[0].dollars,
        limit=0.0,
        gate_share=0.0,
        gate_cost=0.0,
        models=facts,
        tasks=(),
        curve=(),
        random_mix=(),
        best_possible=(),
        operating_point=None,
        more=(),
        needed=None,
    )


def _statement(built: BuiltLadder, certify: Prepared, terms: Terms, view: Plan) -> dict[str, object]:
    """The certified step's figures and the sentence that goes with them; or why there is none."""
    step, result = built.step, built.result
    if step is None or result is None:
        cheaper = (certify.costs[:, 1:].mean(0) < certify.costs[:, 0].mean()).any()
        if not cheaper:
            return {"reason": "No candidate is cheaper than the incumbent: there is nothing to save."}
        if result is None:
            return {"reason": "Not enough evidence: no step of the ladder would pass."}
        return {
            "reason": f"Not enough evidence: the strictest step has p = {result.tested[0].p_value:.3g}, and "
            f"{terms.delta:g} is allowed.",
            "p_value": result.tested[0].p_value,
        }
    tested = result.tested[result.certified - 1]
    done = answered(built, built.expected, certify, step)
    losses = risk_losses(done.losses, done.accepted, terms.risk)
    upper = bound(losses, built.tests[result.certified - 1], terms.epsilon, terms.delta)
    of = "all requests" if terms.risk == "traffic" else "the requests moved"
    return {
        "p_value": tested.p_value,
        "loss_estimate": float(losses.mean()),
        "loss_upper": upper,
        "reason": f"With confidence {1 - terms.delta:.0%}, the mean {terms.loss} loss over {of} is at most {upper:.3f} "
        f"({terms.epsilon:g} allowed), while {view.saving:.0%} of the dollars are saved.",
    }


def _saving(done: Answered, rows: Prepared) -> float:
    return 1.0 - float(done.dollars.sum()) / float(rows.costs[:, 0].sum())


def _point(outcomes: Outcomes, at: NDArray[np.intp], rows: Prepared, done: Answered) -> CurvePoint:
    score = outcomes.scores[at, done.answerer].mean()
    return CurvePoint(1.0 - _saving(done, rows), float(score))


def _limit(built: BuiltLadder, certify: Prepared, terms: Terms) -> float:
    """The best saving among steps whose mean loss lies z₁₋δ standard errors below ε.

    By the normal limit no test at level δ certifies a step nearer to ε more often than not.
    """
    best, z = 0.0, normal_quantile(1.0 - terms.delta)
    for step in every_step(terms.risk, terms.epsilon):
        done = answer(built.expected, certify.losses, certify.costs, built.laid.ladder, step)
        losses = risk_losses(done.losses, done.accepted, terms.risk)
        if losses.size and losses.mean() + z * losses.std() / np.sqrt(losses.size) <= terms.epsilon:
            best = max(best, _saving(done, certify))
    return best


def _tasks(outcomes: Outcomes, at: NDArray[np.intp], done: Answered) -> tuple[TaskPlan, ...]:
    names = np.array([outcomes.tasks[row] for row in at], dtype=object)
    found: list[TaskPlan] = []
    scores, costs = outcomes.scores[at], outcomes.costs[at]
    unit = float(outcomes.costs[:, 0].mean())
    for task in sorted(set(names.tolist())):
        rows = np.flatnonzero(names == task)
        who = done.answerer[rows]
        found.append(
            TaskPlan(
                task=task,
                rows=len(rows),
                served={
                    model: float((who == position).mean())
                    for position, model in enumerate(outcomes.models)
                    if position and (who == position).any()
                },
                incumbent_score=float(scores[rows, 0].mean()),
                score=float(scores[rows, who].mean()),
                saving=1.0 - float(done.dollars[rows].sum()) * unit / max(1e-12, float(costs[rows, 0].sum())),
            )
        )
    return tuple(sorted(found, key=lambda task: -task.saving * task.rows))


def _gate(built: BuiltLadder, certify: Prepared) -> dict[str, float]:
    """What the novelty gate turns away, and the saving that it forgoes."""
    share = float((built.expected.novelty > built.laid.ladder.novelty_limit).mean())
    if built.step is None:
        return {"gate_share": share}
    open_gate = built.laid.ladder._replace(novelty_limit=np.inf)
    without = answer(built.expected, certify.losses, certify.costs, open_gate, built.step)
    with_gate = answered(built, built.expected, certify, built.step)
    return {"gate_share": share, "gate_cost": max(0.0, _saving(without, certify) - _saving(with_gate, certify))}


def _pictures(
    outcomes: Outcomes, at: NDArray[np.intp], certify: Prepared, built: BuiltLadder, terms: Terms
) -> dict[str, tuple[CurvePoint, ...]]:
    scores = outcomes.scores[at]
    start = CurvePoint(1.0, float(scores[:, 0].mean()))
    walk = [
        _point(outcomes, at, certify, answer(built.expected, certify.losses, certify.costs, built.laid.ladder, step))
        for step in every_step(terms.risk, terms.epsilon)[::4]
    ]
    cheapest = int(certify.costs.mean(0).argmin())
    end = CurvePoint(
        float(certify.costs[:, cheapest].sum() / certify.costs[:, 0].sum()), float(scores[:, cheapest].mean())
    )
    known = Expected(certify.losses, certify.costs, np.zeros(len(scores)))
    best: list[CurvePoint] = []
    everybody = built.laid.ladder._replace(rungs=tuple(range(1, scores.shape[1])), novelty_limit=np.inf)
    for price in np.geomspace(1e3, 1e-3, 40):
        done = answer(known, certify.losses, certify.costs, everybody, Step(float(price), 0.0))
        best.append(_point(outcomes, at, certify, done))
    return {"curve": (start, *walk), "random_mix": (start, end), "best_possible": tuple(best)}


def _outlook(
    rows: Prepared, parts: Parts, built: BuiltLadder, terms: Terms, *, certified: bool
) -> dict[str, tuple[MoreEvidence, ...] | int | None]:
    """What more evidence would probably bring, the estimates staying as good as they are now."""
    fit, tune, certify = rows.take(parts.fit), rows.take(parts.tune), rows.take(parts.certify)
    known = join(join(built.fitted.expected, expect(built.prompts, built.fitted, tune)), built.expected)
    losses = np.vstack((fit.losses, tune.losses, certify.losses))
    costs = np.vstack((fit.costs, tune.costs, certify.costs))

    def saving(growth: int) -> float:
        return lay_walk(
            known,
            losses,
            costs,
            built.laid.ladder,
            risk=terms.risk,
            epsilon=terms.epsilon,
            delta=terms.delta,
            certify_rows=len(parts.certify) * growth,
        ).saving

    total = len(rows.texts)
    more = tuple(MoreEvidence(total * growth, saving(growth)) for growth in _GROWTHS)
    if certified:
        return {"more": more, "needed": None}
    growth = 2
    while growth <= _MOST and saving(growth) <= 0.0:
        growth *= 2
    return {"more": more, "needed": total * growth if growth <= _MOST else None}


def _wanted(rows: Prepared) -> int:
    """Fewest scored prompts with which an attempt is worth making, where there are too few to fit anything."""
    return max(200, 2 * len(rows.texts))
