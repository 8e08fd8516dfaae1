"""A router decides one request at a time exactly as the certified walk decided them all at once."""

import msgspec
import numpy as np
import pytest
from outcome_maker import make_outcomes

from freehold.domain.errors import StudentError
from freehold.loop.ladders import Terms, build_ladder, router_of, split
from freehold.signals.answers import AnswerSignals, final_answer
from freehold.signals.ladder import climb
from freehold.signals.router import Router, Signal, build_router
from freehold.signals.text import hash_text
from freehold.train.ladder import expect, prepare


@pytest.mark.parametrize("signal", ["prompt", "cascade"])
def test_one_by_one_is_all_at_once(signal: Signal) -> None:
    outcomes = make_outcomes(700, seed=3, answers=True)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], signal)
    built = build_ladder(rows, split(rows.groups, 1), Terms(0.05, 0.05, "traffic", "signed", signal))
    assert built.step is not None
    router = Router(*router_of(built, outcomes.models, rows.mean_cost))
    fresh = make_outcomes(120, seed=4, answers=True)
    others = prepare(fresh, [hash_text(prompt) for prompt in fresh.prompts], signal)._replace(
        costs=fresh.costs / rows.mean_cost
    )
    climbed = climb(
        expect(built.prompts, built.fitted, others),
        built.step,
        built.fitted.rungs,
        built.fitted.spreads,
        built.laid.ladder.novelty_limit,
    )
    assert fresh.answers is not None
    for row in range(120):
        prediction = router.predict(fresh.tasks[row], fresh.prompts[row])
        rung, earlier, asked = router.next_rung(prediction) if router.knows(prediction) else 0, list[str](), list[int]()
        while rung and signal == "cascade":
            asked.append(rung)
            text = fresh.answers[rung][row] or ""
            answer = AnswerSignals(text, float(others.costs[row, rung]))
            if router.accepts(prediction, router.expected_loss(fresh.tasks[row], prediction, rung, answer, earlier)):
                break
            earlier.append(final_answer(text))
            rung = router.next_rung(prediction, rung)
        assert rung == climbed.answerer[row]
        if signal == "cascade":
            assert asked == [at for at in built.fitted.rungs if climbed.asked[row, at]]
    assert 0 < (climbed.answerer > 0).sum() < 120


def test_files_that_do_not_fit_together_are_refused() -> None:
    outcomes = make_outcomes(500, seed=5)
    rows = prepare(outcomes, [hash_text(prompt) for prompt in outcomes.prompts], "prompt")
    built = build_ladder(rows, split(rows.groups, 1), Terms(0.05, 0.05))
    manifest, tensors = router_of(built, outcomes.models, rows.mean_cost)
    plain = msgspec.to_builtins(manifest)
    assert build_router(plain, tensors).manifest == manifest
    for damage in ({"rungs": [7]}, {"version": 99}, {"signal": "cascade"}, {"spreads": []}, {"mean_cost": "x"}):
        with pytest.raises(StudentError):
            build_router({**plain, **damage}, tensors)
    for name in ("idf", "linear", "stack"):
        with pytest.raises(StudentError):
            build_router(plain, {**tensors, name: np.zeros((3, 3))})
        with pytest.raises(StudentError):
            build_router(plain, {key: value for key, value in tensors.items() if key != name})
