"""Which answers are closed: labels, JSON in all its forms, and free text, which never is."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from freehold.curate import recognise_form
from freehold.curate.forms import MAX_MISSING_MASS, MAX_VALUES, MIN_ANSWERS
from freehold.demo.grammar import SupportDesk


def _kind(answers: list[str]) -> str | None:
    form = recognise_form(answers)
    return form and form.kind


def test_labels_are_closed_with_white_space_folded_and_their_values_in_order() -> None:
    form = recognise_form(["refund", "card ", "\nrefund", "fraud"] * 20)
    assert form is not None and form.kind == "label"
    assert form.fields[0].path == () and form.fields[0].values == ("card", "fraud", "refund")
    assert "3 different answers in 80" in form.reason


def test_too_few_answers_say_nothing() -> None:
    assert recognise_form(["yes"] * (MIN_ANSWERS - 1)) is None
    assert _kind(["yes"] * MIN_ANSWERS) == "label"
    assert recognise_form([]) is None


@pytest.mark.parametrize(("once", "kind"), [(5, "label"), (6, "open")])
def test_the_boundary_of_missing_mass(once: int, kind: str) -> None:
    answers = [f"rare {n}" for n in range(once)] + ["common"] * (100 - once)
    assert once / 100 <= MAX_MISSING_MASS or kind == "open"
    assert _kind(answers) == kind


def test_many_labels_are_open_with_few_answers_and_closed_with_many() -> None:
    rng = random.Random(3)
    labels = [f"intent_{n}" for n in range(77)]
    stream = [rng.choice(labels) for _ in range(2000)]
    kinds = [_kind(stream[:n]) for n in (60, 100, 600, 2000)]
    assert kinds[0] == "open" and kinds[-1] == "label"
    assert kinds.index("label") == len([kind for kind in kinds if kind == "open"]), "once closed, it stays closed"


def test_too_many_or_too_long_labels_are_open() -> None:
    many = [f"label {n}" for n in range(MAX_VALUES + 1)] * 3
    assert Counter(many).most_common()[-1][1] == 3 and _kind(many) == "open"
    assert _kind(["a long sentence " * 10, "another long sentence " * 10] * 50) == "open"


def test_replies_in_prose_are_open() -> None:
    replies = [message.truth for message in SupportDesk(5).messages("reply", 300)]
    form = recognise_form(replies)
    assert form is not None and form.kind == "open" and "missing mass" in form.reason


def test_answers_without_text_are_not_a_label() -> None:
    assert _kind([""] * 100) == "open"
    assert _kind(["yes"] * 90 + [""] * 10) == "open"


def _objects(rng: random.Random, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for _ in range(n):
        row: dict[str, Any] = {
            "urgent": rng.random() < 0.5,
            "route": {"team": rng.choice(["a", "b"]), "tags": rng.choice([[], ["x"], ["x", "y"]])},
            "level": rng.choice([1, 2, None]),
        }
        if rng.random() < 0.3:
            row["note"] = "vip"
        rows.append(row)
    return rows


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "  ```\n{}\n```\n"])
def test_json_nested_optional_and_fenced_is_closed_field_by_field(wrap: str) -> None:
    answers = [wrap.replace("{}", json.dumps(row)) for row in _objects(random.Random(1), 200)]
    form = recognise_form(answers)
    assert form is not None and form.kind == "json"
    values = {field.path: field.values for field in form.fields}
    assert values[("urgent",)] == ("false", "true")
    assert values[("route", "team")] == ('"a"', '"b"')
    assert set(values[("route", "tags")]) == {"[]", '["x"]', '["x","y"]'}
    assert values[("level",)] == ("1", "2", "null")
    assert values[("note",)] == ('"vip"',)


def test_one_open_field_makes_the_object_open_and_is_named() -> None:
    rows = _objects(random.Random(2), 200)
    answers = [json.dumps({**row, "summary": f"customer {n} wrote"}) for n, row in enumerate(rows)]
    form = recognise_form(answers)
    assert form is not None and form.kind == "open" and "summary" in form.reason


def test_a_rare_open_field_counts_by_the_answers_it_spoils() -> None:
    closed = [json.dumps({"a": 1}) for _ in range(97)]
    assert _kind([*closed, *(json.dumps({"a": 1, "why": f"reason {n}"}) for n in range(3))]) == "json"
    assert _kind([*closed[:90], *(json.dumps({"a": 1, "why": f"reason {n}"}) for n in range(10))]) == "open"


def test_an_object_that_is_empty_now_and_then_lacks_its_fields_and_always_empty_teaches_nothing() -> None:
    form = recognise_form([json.dumps({}), json.dumps({"a": "x"})] * 50)
    assert form is not None and form.kind == "json" and [field.path for field in form.fields] == [("a",)]
    assert _kind(["{}"] * 100) == "open"


def test_json_mixed_with_much_prose_is_not_json() -> None:
    answers = ['{"a": 1}'] * 90 + [f"Sorry, I cannot tell: {n}" for n in range(10)]
    assert _kind(answers) == "open"
