"""The incumbent's way of writing is reproduced byte for byte."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.answers import leaves, parse_object
from freehold.train.style import learn_style
from freehold.upstreams.student.rendering import render

ROWS: list[dict[str, Any]] = [
    {"b": "é", "a": {"x": True, "list": [1, 2.5, None]}, "n": None},
    {"b": 'say "hi"\n', "a": {"x": False, "list": []}, "n": 3},
    {"b": "", "a": {"x": True, "list": ["☃"]}, "n": -1.5},
]
SPACINGS = ((", ", ": "), (",", ":"), (", ", ":"), (",", ": "))
AROUND = (("", ""), ("```json\n", "\n```"), ("```\n", "\n```\n"), (" \n", "\n"))


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(("before", "after"), AROUND)
@pytest.mark.parametrize(
    ("separators", "indent"), [*product(SPACINGS, (None,)), *product(((",", ": "),), (1, 2, 3, 4))]
)
def test_every_spacing_indent_and_fence(
    separators: tuple[str, str], indent: int | None, before: str, after: str, ascii_only: bool
) -> None:
    answers = [
        before + json.dumps(row, separators=separators, indent=indent, ensure_ascii=ascii_only) + after for row in ROWS
    ]
    style, share = learn_style("json", answers)
    assert share == 1.0
    assert [render(style, leaves(row)) for row in ROWS] == answers


@pytest.mark.parametrize(("before", "after"), [("", ""), (" ", ""), ("", "\n"), ("\n\n", "  ")])
def test_labels_keep_the_commonest_white_space_around_them(before: str, after: str) -> None:
    style, share = learn_style("label", [f"{before}{label}{after}" for label in ("yes", "no", "yes")] + ["\tno"])
    assert render(style, {(): "maybe"}) == f"{before}maybe{after}"
    assert share == 0.75


def test_optional_fields_keep_their_place_and_are_left_out_when_absent() -> None:
    rows = [{"a": 1, "c": 3}, {"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}, {"z": 0, "a": 1, "c": 3}, {}]
    style, share = learn_style("json", [json.dumps(row) for row in rows])
    assert style.order == (("z",), ("a",), ("b",), ("c",)) and share == 1.0
    assert render(style, {}) == "{}"
    assert render(style, {("b",): "2", ("z",): "0"}) == '{"z": 0, "b": 2}'


def test_a_field_that_is_now_null_and_now_an_object_never_raises() -> None:
    rows: list[dict[str, Any]] = [{"who": None}, {"who": {"name": "x"}}, {"who": {}}, {"who": "unknown"}]
    style, share = learn_style("json", [json.dumps(row) for row in rows])
    assert share == 1.0
    mixed = render(style, {("who",): "null", ("who", "name"): '"x"'})
    assert mixed in ('{"who": {"name": "x"}}', '{"who": null}')


_scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=8))
_values = st.one_of(_scalars, st.lists(_scalars, max_size=3))
_objects = st.dictionaries(
    st.text(min_size=1, max_size=4), _values | st.dictionaries(st.text(max_size=3), _values, max_size=3), max_size=4
)


@given(_objects, st.sampled_from(SPACINGS), st.sampled_from(AROUND), st.booleans())
def test_learning_from_one_answer_and_writing_it_again_gives_it_back(
    row: dict[str, Any], separators: tuple[str, str], around: tuple[str, str], ascii_only: bool
) -> None:
    answer = around[0] + json.dumps(row, separators=separators, ensure_ascii=ascii_only) + around[1]
    parsed = parse_object(answer)
    assert parsed is not None
    style, share = learn_style("json", [answer])
    written = render(style, leaves(parsed))
    assert share == 1.0 and written == answer
    assert learn_style("json", [written])[0] == style
