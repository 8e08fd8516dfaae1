"""Examples: which rows are learned from, and when a dataset is refused."""

from __future__ import annotations

import pytest
from generative_rows import recipe, sample, tickets

from freehold.domain.errors import EvidenceError
from freehold.train.generative.examples import contradictions, examples_of


def test_a_prompt_is_the_users_turn_and_the_answer_is_learned() -> None:
    rows = [sample("q1", "a1"), sample("q2", "a2", "tune"), sample("q3", "a3", "certify"), sample("q4", " ")]
    fit, tune = examples_of(rows, recipe())
    assert [(turn.role, turn.text, turn.learn) for turn in fit[0].turns] == [
        ("user", "q1", False),
        ("assistant", "a1", True),
    ]
    assert len(fit) == 1 and [one.turns[0].text for one in tune] == ["q2"] and fit[0].trace_id == "tr"


def test_nothing_to_fit_on_is_said() -> None:
    for rows in ([], [sample("q", "a", "certify")], [sample("q", "")]):
        with pytest.raises(EvidenceError, match="none to fit on") as raised:
            examples_of(rows, recipe())
        assert "freehold import" in raised.value.hint


def test_a_dataset_that_contradicts_itself_is_refused_and_one_that_hardly_does_is_not() -> None:
    rows = [sample(f"question {number % 30}", f"answer {number}") for number in range(90)]
    with pytest.raises(EvidenceError, match="30 prompts have different answers, and 60 of the 90 rows") as raised:
        examples_of(rows, recipe())
    assert "best-answer" in raised.value.hint and "feedback-trust" in raised.value.hint
    assert len(examples_of(rows, recipe(data={"samples": 3, "best_of": False}))[0]) == 90, "then they are asked for"
    few = [sample(f"question {number % 30}", "yes" if number < 85 else "no") for number in range(90)]
    assert len(examples_of(few, recipe())[0]) == 90
    found = contradictions(few)
    assert (found.prompts, found.rows, found.repeated, found.example) == (5, 5, 90, "question 25")


def test_the_same_json_in_another_form_is_the_same_answer() -> None:
    rows = [sample("q", form) for form in ('{"a": 1, "b": 2}', '{"b":2,"a":1}')] * 20
    assert contradictions(rows).rows == 0
    assert contradictions(tickets(50)).repeated == 0
