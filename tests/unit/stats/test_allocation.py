"""Audit budgets: never exceeded, best in total width, monotone, with a floor; and a floor that is too dear."""

from __future__ import annotations

from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import RequestError
from freehold.stats import AuditNeed, allocate_audits

LOWEST, HIGHEST = 0.005, 0.5
need = st.builds(
    AuditNeed,
    task=st.just("t"),
    epsilon=st.floats(0.005, 0.2),
    upper=st.floats(0.001, 1.0),
    audits=st.integers(0, 5000),
    requests_per_day=st.floats(0.0, 1e5),
    dollars_per_audit=st.one_of(st.just(0.0), st.floats(1e-6, 0.5)),
)
needs = st.lists(need, min_size=1, max_size=6).map(
    lambda found: [msgspec.structs.replace(one, task=f"t{i}") for i, one in enumerate(found)]
)


def spent(tasks: list[AuditNeed], rates: dict[str, float]) -> float:
    return sum(one.requests_per_day * one.dollars_per_audit * rates[one.task] for one in tasks)


def width(tasks: list[AuditNeed], rates: dict[str, float]) -> float:
    upper = [min(one.upper, 0.5) for one in tasks]
    return sum(
        sqrt(u * (1 - u)) / one.epsilon / sqrt(one.audits + 1 + one.requests_per_day * rates[one.task])
        for one, u in zip(tasks, upper, strict=True)
    )


@settings(max_examples=80, deadline=None)
@given(needs, st.one_of(st.just(0.0), st.floats(1e-6, 1000.0)), st.floats(1.0, 3.0))
def test_a_budget_is_never_exceeded_and_more_of_it_takes_from_nobody(
    tasks: list[AuditNeed], budget: float, factor: float
) -> None:
    less, more = allocate_audits(tasks, budget), allocate_audits(tasks, budget * factor)
    for found, limit in ((less, budget), (more, budget * factor)):
        assert found.dollars <= limit * (1 + 1e-9)
        assert found.dollars == pytest.approx(spent(tasks, found.rates), abs=1e-9)
        rates = list(found.rates.values())
        assert found.below_floor == (spent(tasks, dict.fromkeys(found.rates, LOWEST)) > limit)
        assert all(0.0 <= rate <= HIGHEST for rate in rates)
        assert found.below_floor or min(rates) >= LOWEST
    assert all(more.rates[task] >= rate - 1e-12 for task, rate in less.rates.items())


@settings(max_examples=60, deadline=None)
@given(needs, st.floats(1.0, 1000.0), st.data())
def test_no_other_use_of_the_budget_leaves_less_width(
    tasks: list[AuditNeed], budget: float, data: st.DataObject
) -> None:
    found = allocate_audits(tasks, budget)
    if found.below_floor:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for _ in range(20):
        other = {task: float(rng.uniform(LOWEST, HIGHEST)) for task in found.rates}
        floor, wanted = spent(tasks, dict.fromkeys(other, LOWEST)), spent(tasks, other)
        share = 1.0 if wanted <= budget else (budget - floor) / (wanted - floor)
        other = {task: LOWEST + share * (rate - LOWEST) for task, rate in other.items()}
        assert width(tasks, found.rates) <= width(tasks, other) * (1 + 1e-6)


def test_the_weakest_certificate_gets_most() -> None:
    base = AuditNeed("base", epsilon=0.05, upper=0.04, audits=400, requests_per_day=5000, dollars_per_audit=0.01)
    variants = {
        "tighter": msgspec.structs.replace(base, task="tighter", epsilon=0.02),
        "worse": msgspec.structs.replace(base, task="worse", upper=0.09),
        "fewer": msgspec.structs.replace(base, task="fewer", audits=50),
        "cheaper": msgspec.structs.replace(base, task="cheaper", dollars_per_audit=0.002),
    }
    for variant in variants.values():
        rates = allocate_audits([base, variant], 6.0).rates
        assert LOWEST < rates["base"] < rates[variant.task] < HIGHEST, variant
    same = allocate_audits([base, msgspec.structs.replace(base, task="twin")], 6.0)
    assert same.rates["base"] == pytest.approx(same.rates["twin"])
    assert same.dollars == pytest.approx(6.0)


def test_a_floor_that_is_too_dear_is_scaled_down_and_said() -> None:
    tasks = [AuditNeed(name, 0.05, 0.04, 10, 10_000, cost) for name, cost in (("a", 0.1), ("b", 0.3))]
    found = allocate_audits(tasks, 5.0)  # the floor costs 0.005 · 10,000 · 0.4 = 20
    assert found.below_floor
    assert found.rates == {"a": pytest.approx(LOWEST / 4), "b": pytest.approx(LOWEST / 4)}
    assert found.dollars == pytest.approx(5.0)
    assert allocate_audits(tasks, 1e9).rates == {"a": HIGHEST, "b": HIGHEST}
    assert allocate_audits([], 5.0).rates == {}


def test_bad_plans_are_refused() -> None:
    good = AuditNeed("a", 0.05, 0.04, 10, 100, 0.1)
    for field, value in (("epsilon", 0.0), ("upper", 1.5), ("audits", -1), ("requests_per_day", float("nan"))):
        with pytest.raises(RequestError):
            allocate_audits([msgspec.structs.replace(good, **{field: value})], 5.0)
    for budget, low, high in ((-1.0, 0.1, 0.2), (float("inf"), 0.1, 0.2), (1.0, 0.0, 0.2), (1.0, 0.3, 0.2)):
        with pytest.raises(RequestError):
            allocate_audits([good], budget, min_rate=low, max_rate=high)
    with pytest.raises(RequestError):
        allocate_audits([good, good], 1.0)
