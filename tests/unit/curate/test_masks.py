"""Fingerprints: the same call with other data is the same call, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.demo.grammar import SupportDesk, chat_request
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import mask, shape_of


def _fingerprint(system: str = "Sort the message.", user: str = "hello", **more: Any) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return shape_of(parse_chat(json.dumps({"model": "m", "messages": messages, **more}).encode())).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Today is Monday 2026-03-02, 08:15.", "Today is Friday 2025-12-31, 23:59."),
        ("Today is March 3rd, 2026.", "Today is Dec 21st, 1999."),
        ("Ticket SD-4F9K22 of 12 items.", "Ticket SD-99ZZX1 of 3 items."),
        ("Session 0f8fad5b-d9cb-469f-a165-70867728950e", "Session 7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        (
            "Write to anna.b@example.com, see https://a.example/x?y=1",
            "Write to z@mail.example.org, see http://b.example",
        ),
        ("Cost: $12.50 (-3%)", "Cost: $1,200.00 (+45.5%)"),
        ("Code:\n```python\nprint(1)\n```\nReview it.", "Code:\n```\nx = 2\ny\n```\nReview it."),
        ("Sort.\n<document>one</document>\nEnd.", "Sort.\n<document>quite another text</document>\nEnd."),
        ("Sort   this\n\nplease", "Sort this please"),
        ("It is 9:05 a.m. now", "It is 11:45 pm now"),
    ],
)
def test_other_data_is_the_same_call(one: str, other: str) -> None:
    assert _fingerprint(one) == _fingerprint(other)
    assert _fingerprint(one, user="another question") == _fingerprint(one)


def test_a_desk_whose_prompt_holds_the_date_and_a_ticket_has_one_fingerprint_per_task() -> None:
    desk = SupportDesk(3)
    found = {
        task: {
            shape_of(parse_chat(json.dumps(chat_request(message, "m")).encode())).fingerprint
            for message in desk.messages(task, 60)
        }
        for task in desk.tasks
    }
    assert all(len(fingerprints) == 1 for fingerprints in found.values())
    assert len(set.union(*found.values())) == len(desk.tasks)


def test_another_call_is_another() -> None:
    function: dict[str, Any] = {"name": "look_up", "parameters": {"type": "object"}}
    tool = {"type": "function", "function": function}
    schema = {"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}}}
    calls = [
        _fingerprint("Give the intent of the message."),
        _fingerprint("Give the urgency of the message."),
        _fingerprint(),
        _fingerprint(tools=[tool]),
        _fingerprint(tools=[{**tool, "function": {**function, "name": "cancel"}}]),
        _fingerprint(functions=[function]),
        _fingerprint(response_format={"type": "json_object"}),
        _fingerprint(response_format=schema),
    ]
    assert len(set(calls)) == len(calls)
    body = {"model": "other", "messages": [{"role": "system", "content": "Sort the message."}]}
    assert shape_of(parse_chat(json.dumps(body).encode())).fingerprint not in calls


def test_order_of_keys_in_tools_and_formats_does_not_tell_calls_apart() -> None:
    assert _fingerprint(response_format={"type": "x", "a": 1}) == _fingerprint(response_format={"a": 1, "type": "x"})


def test_without_instructions_the_lead_of_the_first_message_stands_in() -> None:
    def of(text: str) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        return shape_of(parse_chat(json.dumps(body).encode())).fingerprint

    assert of("Classify this message: where is my card") == of("Classify this message: I want a refund")
    assert of("Classify this message: where is my card") != of("Translate this message: where is my card")
    assert of("hi") == of("yo")


_WORDS = (
    *(
        "You",
        "help",
        "<doc>",
        "</doc>",
        "12",
        "3.5%",
        "SD-4F9K22",
        "monday",
        "March",
        "1st",
        "a@b.example",
        "x_y",
        "🙂",
    ),
    *("https://x.example/y?z=1", "<n>", "<id>", "<*>", "naïve", "-7", "(2026-01-02)", "```a b```", "9:05 a.m.", "\n\n"),
    "0f8fad5b-d9cb-469f-a165-70867728950e",
)


@given(st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_any_two_numbers_are_one(a: int, b: int) -> None:
    assert mask(f"You have {a} points.") == mask(f"You have {b} points.")
