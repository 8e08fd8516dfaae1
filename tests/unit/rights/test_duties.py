"""What meets a duty: an act that somebody signed for, what is made, or facts that do not contradict it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from freehold.domain.counsel import Fulfilment
from freehold.domain.rights import NO_FACTS, Asset, DutyKind, Organisation, Parent, Ruling
from freehold.rights import rule
from freehold.rights.duties import DutyState, duties_of, unmet

TODAY = datetime.date(2026, 11, 21)
FACTS = Organisation(monthly_users=1, annual_revenue=1, monthly_revenue=1, founded="2025-06-01", users_in=("CH",))


def ruling(licence: str, action: Any = "serve_public") -> Ruling:
    """On a classifier `st_1` that was trained on answers under `licence`."""
    teacher = Parent("teacher", Asset(asset_id=licence, licence=licence))
    asset = Asset(asset_id="st_1", licence="own", kind="classifier", parents=(teacher,))
    return rule(action, asset, FACTS, TODAY)


def done(duty: DutyKind = "name-prefix", text: str = "Llama", **more: Any) -> Fulfilment:
    fields: dict[str, Any] = {"asset": "st_1", "evidence": "it is called so", "fulfilled_by": "Product"}
    return Fulfilment(fulfilment_id="fu_1", duty=duty, text=text, created_ns=1, **{**fields, **more})


def states(found: tuple[DutyState, ...]) -> list[str]:
    return [f"{duty.duty.kind} {duty.state}" for duty in found]


def test_an_act_is_named_with_clause_source_and_command() -> None:
    [duty] = unmet(ruling("llama-3.1"), (), NO_FACTS)
    assert (duty.licence, duty.clause, duty.duty.text) == ("llama-3.1", "students-name", "Llama")
    assert duty.source and duty.date == "2026-11-20" and duty.todo.startswith("freehold rights fulfil st_1 name-prefix")
    [duty] = unmet(ruling("llama-3.1"), (), NO_FACTS, name="Is it urgent?")
    assert "fulfil 'Is it urgent?' name-prefix" in duty.todo


@pytest.mark.parametrize("asset", ["st_1", "llama-3.1", ""])
def test_it_is_fulfilled_for_the_asset_its_licence_or_its_task(asset: str) -> None:
    [duty] = duties_of(ruling("llama-3.1"), (done(asset=asset),), NO_FACTS)
    assert duty.met and duty.state == "fulfilled" and "it is called so" in duty.why and "Product" in duty.why


@pytest.mark.parametrize(
    "other",
    [{"asset": "st_2"}, {"asset": "llama-3.2"}, {"duty": "display"}, {"text": "Llama 3"}, {"until": "2026-11-20"}],
)
def test_something_else_or_something_over_does_not_fulfil_it(other: dict[str, Any]) -> None:
    assert unmet(ruling("llama-3.1"), (done(**other),), NO_FACTS)
    assert not unmet(ruling("llama-3.1"), (done(**other), done(until="2026-11-21")), NO_FACTS)


def test_standing_duties_stand_until_a_fact_contradicts_them() -> None:
    facts = {"openai-api": "distributes_weights", "anthropic-commercial": "sells_ai_services"}
    for terms, fact in facts.items():
        said = ruling(terms, "serve_internally")
        assert all(duty.state == "standing" for duty in duties_of(said, (), NO_FACTS))
        known: dict[str, Any] = {fact: False}
        assert not unmet(said, (), Organisation(**known))
        known = {fact: True}
        [duty] = unmet(said, (done(said.duties[0].kind, said.duties[0].text),), Organisation(**known))
        assert fact in duty.why and not duty.todo, "no record helps"


def test_what_is_made_meets_what_it_is_made_for() -> None:
    base = Parent("base", Asset(asset_id="llama", licence="llama-3.1"))
    said = rule("distribute", Asset(asset_id="st_1", licence="own", parents=(base,)), FACTS, TODAY)
    asked = {duty.duty.kind for duty in unmet(said, (), NO_FACTS)}
    assert {"licence-copy", "notice", "use-policy", "display", "name-prefix"} <= asked
    left = unmet(said, (), NO_FACTS, met=("licence-copy", "notice", "changes-marked"))
    assert {duty.duty.kind for duty in left} == asked - {"licence-copy", "notice", "changes-marked"}


def test_what_is_denied_has_no_duties() -> None:
    assert ruling("nobody-knows").outcome == "deny" and not duties_of(ruling("nobody-knows"), (), NO_FACTS)


def test_what_comes_again_names_the_day_it_is_due() -> None:
    said = rule("serve_internally", Asset(asset_id="m", licence="apertus-apache-plus-aup"), FACTS, TODAY)
    todo = {duty.duty.kind: duty.todo for duty in unmet(said, (), NO_FACTS)}
    assert "--until DATE" in todo["recurring"] and "--until" not in todo["use-policy"]
