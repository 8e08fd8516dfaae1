"""The audit budget over simulated days through the real store: never exceeded, spent where it helps, and it says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from monitor_fixtures import BEGIN, DAY, SECOND, Watched, certificate

from freehold.config import Price
from freehold.loop.audit_budget import AuditBudget
from freehold.monitor import spending, watch

HOUR = 3600 * SECOND
Clock = Callable[[int], None]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    made: list[Watched] = []

    def make(*tasks: str, **loop: Any) -> Watched:
        made.append(Watched(tmp_path / str(len(made)), *(certificate(task) for task in tasks), **loop))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def play(desk: Watched, budget: AuditBudget, begin: int, hours: int, per_hour: dict[str, int], step: int = 2) -> None:
    """Traffic by the hour, more of it by day than by night and never twice alike; a look after every `step` hours."""
    rng = random.Random(begin)
    for hour in range(0, hours, step):
        at = begin + hour * HOUR
        busy = (0.4, 1.0, 1.6, 1.0)[hour % 24 // 6] * rng.uniform(0.7, 1.3)
        for task, mean in per_hour.items():
            rate = desk.rate(task)
            for _ in range(round(mean * step * busy)):
                moment = at + rng.randrange(step * HOUR - 2 * SECOND)
                desk.serve(task, moment, "yes" if rng.random() < 0.97 else "no", "yes", rate)
        desk.seal()
        if (hour + step) % 12 == 0:
            for item in desk.certificates.values():
                watch(desk.store, item, at + step * HOUR)
        budget.look(at + step * HOUR)


def dollars_by_day(desk: Watched) -> dict[int, float]:
    audits = desk.store.traces.scan().filter(pl.col("kind") == "audit").select("at_ns", "cost_nanousd").collect()
    days = audits.group_by(day=(pl.col("at_ns") - BEGIN) // DAY).agg(pl.col("cost_nanousd").sum())
    return {day: nano / 1e9 for day, nano in days.iter_rows()}


def test_a_week_of_uneven_traffic_never_costs_more_than_its_budget(opened: Any) -> None:
    cap = 0.02  # at 0.0004 dollars an audit: 50 audits a day, where the configured rates would take 125
    desk = opened("a", "b", audit_dollars_per_day=cap)
    budget = AuditBudget(desk.store, desk.settings, look_ns=6 * HOUR)
    budget.look(BEGIN)
    play(desk, budget, BEGIN, 7 * 24, {"a": 80, "b": 25}, step=6)
    spent = dollars_by_day(desk)
    assert sorted(spent) == list(range(7))
    assert max(spent.values()) <= cap
    assert min(list(spent.values())[1:]) > 0.4 * cap, "and most of it is put to use"
    policy = desk.store.control.policy_version()
    AuditBudget(desk.store, desk.settings, look_ns=6 * HOUR).look(BEGIN + 7 * DAY + SECOND)
    assert desk.store.control.policy_version() == policy, "rates are left alone where they are nearly right"


def test_a_budget_too_small_for_the_day_stops_audits_until_midnight_and_says_so(opened: Any) -> None:
    desk = opened("a", audit_dollars_per_day=0.01, min_audit_rate=0.2)
    budget = AuditBudget(desk.store, desk.settings, look_ns=HOUR)
    play(desk, budget, BEGIN, 14, {"a": 60}, step=1)
    events = [event for event in desk.store.control.events(50) if event.kind == "audits-stopped"]
    assert len(events) == 1 and "ages" in events[0].message and "$0.01" in events[0].message
    task = desk.store.control.tasks.get("a")
    assert desk.rate("a") == 0.0 and task.note == events[0].message and task.state == "owned"
    assert desk.store.control.current_policy().tasks["a"].rungs, "it is not rolled back for that"
    before = watch(desk.store, desk.certificates["a"], BEGIN + 14 * HOUR)
    play(desk, budget, BEGIN + 14 * HOUR, 10, {"a": 60}, step=1)
    assert dollars_by_day(desk)[0] <= 0.01
    after = watch(desk.store, desk.certificates["a"], BEGIN + 24 * HOUR)
    assert after.requests == before.requests, "what came while nothing was audited is in no bound"
    budget.look(BEGIN + DAY + HOUR)
    assert desk.rate("a") >= 0.2 and desk.store.control.events(1)[0].kind == "audits-resumed"
    assert "midnight" not in desk.store.control.tasks.get("a").note


def test_a_dearer_task_gets_fewer_audits_and_the_other_more(opened: Any) -> None:
    desk = opened("a", "b", audit_dollars_per_day=0.05)
    budget = AuditBudget(desk.store, desk.settings, look_ns=HOUR)
    play(desk, budget, BEGIN, 24, {"a": 60, "b": 60}, step=6)
    alike = desk.rate("a"), desk.rate("b")
    assert 0.5 < alike[0] / alike[1] < 2.0
    rng = random.Random(1)
    for number in range(800):  # what the incumbent answers to `a` is four times as long from now on
        moment = BEGIN + DAY + number * (DAY // 1000)
        desk.serve("a", moment, "yes", "yes", desk.rate("a"), tokens=400)
        desk.serve("b", moment, "yes" if rng.random() < 0.97 else "no", "yes", desk.rate("b"))
        if number % 50 == 49:
            desk.seal()
            budget.look(moment + SECOND)
    known = spending(desk.store, BEGIN + DAY + DAY * 4 // 5)
    dear, cheap = known["a"].dollars_per_audit, known["b"].dollars_per_audit
    assert dear is not None and cheap is not None and dear > 3 * cheap
    assert desk.rate("a") < 0.7 * alike[0] and desk.rate("b") > 1.8 * desk.rate("a")
    assert dollars_by_day(desk)[1] <= 0.05


def test_prices_nobody_knows_are_in_no_budget_and_without_a_cap_the_configured_rates_hold(opened: Any) -> None:
    desk = opened("a", audit_dollars_per_day=0.1, probation_audits=0, audit_rate=0.07)
    desk.prices["inc"] = {"another": Price(input=1.0, output=1.0)}
    budget = AuditBudget(desk.store, desk.settings, look_ns=HOUR)
    play(desk, budget, BEGIN, 4, {"a": 60})
    assert desk.rate("a") == 0.07 and spending(desk.store, BEGIN + 4 * HOUR)["a"].dollars_per_audit is None
    desk.store.control.change_task_policy("a", "as a cap left it", audit_rate=0.0)
    free = msgspec.structs.replace(
        desk.settings, loop=msgspec.structs.replace(desk.settings.loop, audit_dollars_per_day=None)
    )
    AuditBudget(desk.store, free).look(BEGIN + 5 * HOUR)
    assert desk.rate("a") == 0.07
