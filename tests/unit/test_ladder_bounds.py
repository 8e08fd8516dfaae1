"""What bounds the harm a ladder or candidate can do: budgets of a day, and rests after failures. No network."""

from __future__ import annotations

import random
from pathlib import Path

from freehold.gateway.background.budget import DailyBudget
from freehold.gateway.ladder.resting import FAILURES, REST_SECONDS, Resting

NOON = 1_800_000_000.0


def test_workers_never_promise_more_than_the_day_allows(tmp_path: Path) -> None:
    draw = random.Random(1)
    workers = [DailyBudget(tmp_path, 1000, lambda: NOON) for _ in range(3)]
    spent = promised = 0
    for _ in range(500):
        worker, wanted = draw.choice(workers), draw.randint(1, 40)
        promise = worker.promise(wanted)
        if promise is None:
            continue
        assert spent + wanted <= 1000
        cost = draw.randint(0, wanted)
        worker.settle(promise, cost)
        spent, promised = spent + cost, promised + 1
    assert promised > 25 and 960 <= spent <= 1000
    assert DailyBudget(tmp_path, 1000, lambda: NOON).promise(41) is None, "a restart forgets nothing"
    assert DailyBudget(tmp_path, 1000, lambda: NOON + 86_400).promise(41) is not None
    assert len(list(tmp_path.iterdir())) == 1, "days that are over are cleared away"


def test_a_budget_that_cannot_be_kept_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert DailyBudget(tmp_path / "file", 1000).promise(1) is None
    budget = DailyBudget(tmp_path, 1000, lambda: NOON)
    assert budget.promise(1) is not None
    next(tmp_path.glob("*.spent")).write_bytes(b"\0\0\0\0\n")
    assert DailyBudget(tmp_path, 1000, lambda: NOON).promise(1) is None


def test_a_model_that_keeps_failing_is_left_alone_and_then_tried_by_one() -> None:
    now = [0.0]
    resting = Resting(lambda: now[0])
    for _ in range(FAILURES - 1):
        resting.failed("m")
    assert not resting.rests("m")
    resting.worked("m")
    for _ in range(FAILURES):
        assert not resting.rests("m")
        resting.failed("m")
    assert resting.rests("m") and not resting.rests("other")
    now[0] += REST_SECONDS
    assert [resting.rests("m") for _ in range(3)] == [False, True, True]
    resting.failed("m")
    now[0] += REST_SECONDS - 1
    assert resting.rests("m")
    now[0] += 1
    assert not resting.rests("m")
    resting.worked("m")
    assert not resting.rests("m")
