"""Ladders fitted and certified on made-up outcomes whose truth is known; and what evidence is refused."""

import msgspec
import numpy as np
import pytest
from outcome_maker import make_outcomes

from freehold.domain.errors import EvidenceError
from freehold.loop.ladders import Parts, Terms, answered, build_ladder, split
from freehold.loop.plan import make_plan
from freehold.signals.outcomes import Outcomes
from freehold.signals.text import hash_text
from freehold.train.ladder import expect, prepare


def with_scores(outcomes: Outcomes, scores: np.ndarray) -> Outcomes:
    return Outcomes(
        outcomes.prompt_ids, outcomes.prompts, outcomes.tasks, outcomes.models, scores, outcomes.costs, outcomes.answers
    )


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("risk", ["traffic", "served"])
def test_easy_tasks_move_and_hard_ones_stay(risk: str, graded: bool) -> None:
    plan = make_plan(make_outcomes(900, seed=1, graded=graded), Terms(0.05, 0.05, risk))  # type: ignore[arg-type]
    assert plan.certified and plan.test == ("betting" if graded else "trinomial")
    assert plan.p_value is not None and plan.p_value <= 0.05
    assert plan.loss_estimate is not None and plan.loss_upper is not None
    assert plan.loss_estimate < plan.loss_upper <= 0.05
    by_task = {task.task: task for task in plan.tasks}
    assert sum(by_task["sums"].served.values()) > 0.8 and sum(by_task["proofs"].served.values()) < 0.2
    assert plan.saving > 0.3 and plan.operating_point is not None
    assert plan.operating_point.cost == pytest.approx(1.0 - plan.saving)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=type(plan)) == plan


def test_what_is_certified_holds_on_fresh_requests() -> None:
    outcomes, fresh = make_outcomes(900, seed=2), make_outcomes(4000, seed=3)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], "prompt")
    built = build_ladder(rows, split(rows.groups, 0), Terms(0.05, 0.05, "served"))
    others = prepare(fresh, [hash_text(prompt) for prompt in fresh.prompts], "prompt")
    done = answered(built, expect(built.prompts, built.fitted, others), others, built.step)
    assert done.accepted.mean() > 0.3 and done.losses[done.accepted].mean() <= 0.05


def test_a_candidate_that_is_worse_everywhere_is_never_certified() -> None:
    for seed in range(3):
        outcomes = make_outcomes(400, seed=seed)
        scores = outcomes.scores.copy()
        scores[:, 1:] = np.random.default_rng(seed).random((400, 2)) < 0.7
        plan = make_plan(with_scores(outcomes, scores), Terms(0.05, 0.05, "served"))
        assert not plan.certified and plan.served_share == 0.0 and plan.saving == 0.0
        assert plan.reason.startswith("Not enough evidence") and plan.operating_point is None


def test_equal_prompts_stay_together() -> None:
    groups = np.repeat(np.arange(50), 4)
    parts = split(groups, 7)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    assert sum(len(set(groups[part])) for part in parts) == 50


def test_too_little_evidence_says_how_much_is_wanted() -> None:
    plan = make_plan(make_outcomes(10, seed=1), Terms(0.05, 0.05))
    assert not plan.certified and "10 scored prompts" in plan.reason and plan.needed is not None and plan.needed > 10
    plan = make_plan(make_outcomes(130, seed=1), Terms(0.02, 0.05, "served"))
    assert not plan.certified and plan.needed is not None and plan.needed > 130


def test_scores_that_tell_nothing_apart_are_refused() -> None:
    outcomes = make_outcomes(300, seed=1)
    with pytest.raises(EvidenceError, match="tell nothing apart"):
        make_plan(with_scores(outcomes, np.ones_like(outcomes.scores)), Terms(0.05, 0.05))
    with pytest.raises(EvidenceError, match="No prompt"):
        make_plan(outcomes.take(np.arange(0)), Terms(0.05, 0.05))


def test_nothing_is_saved_where_candidates_cost_more() -> None:
    outcomes = make_outcomes(400, seed=1)
    dear = Outcomes(
        outcomes.prompt_ids,
        outcomes.prompts,
        outcomes.tasks,
        outcomes.models,
        outcomes.scores,
        outcomes.costs[:, ::-1].copy(),
    )
    plan = make_plan(dear, Terms(0.05, 0.05))
    assert not plan.certified and "cheaper" in plan.reason


def test_a_cascade_needs_answers() -> None:
    with pytest.raises(EvidenceError, match="answers"):
        make_plan(make_outcomes(300, seed=1), Terms(0.05, 0.05, signal="cascade"))


def test_an_empty_part_is_refused() -> None:
    outcomes = make_outcomes(300, seed=1)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], "prompt")
    with pytest.raises(EvidenceError, match="too few"):
        build_ladder(rows, Parts(np.arange(200), np.arange(0), np.arange(200, 300)), Terms(0.05, 0.05))
