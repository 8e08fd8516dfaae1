"""The Model Openness Framework's classes and the Open Source AI Definition, over releases with more and with less."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from inventories import adapted, bare, classical, inventories, item, open_science

from freehold.domain.rights import DutyKind
from freehold.release import inventory as inv
from freehold.release.standards import mof_class, osaid_report
from freehold.release.standards.mof import COMPONENTS, as_listed

quick = settings(max_examples=20, deadline=None)


def _without(inventory: inv.Inventory, *roles: inv.Role) -> inv.Inventory:
    return msgspec.structs.replace(inventory, items=tuple(each for each in inventory.items if each.role not in roles))


def _openness(inventory: inv.Inventory) -> int:
    """0 for no class, 3 for the most open."""
    reached = mof_class(inventory).mof_class
    return 4 - reached if reached else 0


def test_the_framework_has_seventeen_components_and_three_classes() -> None:
    required = {level: sum(each.required and each.mof_class == level for each in COMPONENTS) for level in (3, 2, 1)}
    assert len({each.name for each in COMPONENTS}) == 17 and required == {3: 6, 2: 4, 1: 4}


def test_each_class_is_reached_with_its_components_and_lost_without_them() -> None:
    everything = open_science()
    assert mof_class(everything).name == "Class I, Open Science"
    assert all(not standing.missing for standing in mof_class(everything).standings)
    for component in COMPONENTS:
        if component.required and component.name != "Technical report":
            report = mof_class(_without(everything, *component.roles))
            expected = {1: 2, 2: 3, 3: 0}[component.mof_class]
            assert report.mof_class == expected, component.name
            standing = next(each for each in report.standings if each.mof_class == component.mof_class)
            assert standing.missing == (f"{component.name}: not in the release.",)


def test_a_paper_stands_in_for_a_technical_report_and_not_the_other_way_round() -> None:
    everything = open_science()
    assert mof_class(_without(everything, "technical-report")).mof_class == 1
    assert mof_class(_without(everything, "research-paper")).mof_class == 2
    assert mof_class(_without(everything, "technical-report", "research-paper")).mof_class == 0


def test_what_is_only_told_of_or_not_open_does_not_count() -> None:
    plain = _without(open_science(), "weights")
    for weights, missing in (
        (item("weights", note="Ask us."), "Model parameters (Final): only told of (Ask us)."),
        (item("weights", "model/w", "present", ""), "under no licence, which is not known here as an open licence"),
        (item("weights", "model/w", "present", "LicenseRef-own"), "under LicenseRef-own, which is not known here"),
    ):
        report = mof_class(msgspec.structs.replace(plain, items=(*plain.items, weights)))
        assert report.mof_class == 0 and missing in report.standings[0].missing[0]


def test_a_base_model_under_a_licence_of_its_own_keeps_the_parameters_from_being_open() -> None:
    report, definition = mof_class(adapted()), osaid_report(adapted())
    assert "Model parameters (Final): under LicenseRef-freehold-llama-3.2" in report.standings[0].missing[0]
    assert not definition.meets
    assert [len(element.missing) for element in definition.elements] == [1, 1, 1]
    assert all("base model someone/small-1b" in element.missing[0] for element in definition.elements)


@quick
@given(inventories())
def test_the_class_goes_up_only_when_components_appear(inventory: inv.Inventory) -> None:
    before = _openness(inventory)
    counting = {each.component for each in mof_class(inventory).components if each.counts}
    for component in COMPONENTS:
        fewer = _without(inventory, *component.roles)
        assert _openness(fewer) <= before
        assert {each.component for each in mof_class(fewer).components if each.counts} <= counting
        if component.name not in counting:
            licence = "OpenMDW-1.0"
            more = (*fewer.items, *(item(role, f"more/{role}", "present", licence) for role in component.roles))
            assert _openness(msgspec.structs.replace(fewer, items=more)) >= _openness(fewer)


@quick
@given(inventories())
def test_what_is_said_to_be_missing_is_what_keeps_a_class_from_being_reached(inventory: inv.Inventory) -> None:
    report = mof_class(inventory)
    reached = [standing.mof_class for standing in report.standings if standing.reached]
    assert reached == sorted(reached, reverse=True) and report.mof_class == min(reached, default=0)
    assert all(standing.reached == (not standing.missing) for standing in report.standings)
    definition = osaid_report(inventory)
    assert definition.meets == (not definition.missing) == (not any(definition.freedoms.values()))


def test_the_definition_asks_for_data_information_code_and_parameters_but_not_for_the_data() -> None:
    assert osaid_report(classical()).meets, "an open classifier with a data card, but without its rows"
    assert not osaid_report(bare()).meets
    lacking: dict[inv.Role, str] = {
        "data-card": "data information",
        "training-code": "code",
        "inference-code": "code",
        "weights": "parameters",
    }
    for role, element in lacking.items():
        report = osaid_report(_without(classical(), role))
        assert [each.element for each in report.elements if each.missing] == [element]
        assert report.freedoms["study"] and not report.meets


@pytest.mark.parametrize(
    ("kind", "freedom"), [("not-competing", "use"), ("use-policy", "use"), ("registration", "share")]
)
def test_a_duty_that_limits_use_or_sharing_takes_a_freedom_away(kind: DutyKind, freedom: str) -> None:
    plain = classical()
    duty = msgspec.structs.replace(plain.rights.duties[0], kind=kind, licence="some-terms", clause="some-clause")
    rights = msgspec.structs.replace(plain.rights, duties=(*plain.rights.duties, duty))
    report = osaid_report(msgspec.structs.replace(plain, rights=rights))
    assert not report.meets and "some-terms/some-clause" in report.freedoms[freedom]  # pyright: ignore[reportArgumentType]


def test_ids_are_spelt_as_they_are_listed_and_others_stay_as_they_are() -> None:
    assert [as_listed(name) for name in ("apache-2.0", "MIT", "cc-by-4.0")] == ["Apache-2.0", "MIT", "CC-BY-4.0"]
    assert [as_listed(name) for name in ("", "LicenseRef-own", "our own")] == ["", "LicenseRef-own", "our own"]
