"""What an answer comes down to, and what is seen of it."""

import pytest

from freehold.signals.answers import ANSWER_FEATURES, AnswerSignals, agreement, answer_features, final_answer

LONG = "First we look at it from all sides, and then we look again, at length. " * 3


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("42", "42"),
        ("  Paris.\n", "paris"),
        ('{"reasoning": "long", "answer": "{1: None}"}', "{1:none}"),
        ('```json\n{"reasoning": "r", "answer": "13"}\n```', "13"),
        (LONG + "<answer>88.0 - 56.0i</answer>", "88.0-56.0i"),
        (LONG + "#### 1,234\n", "1234"),
        (LONG + "so it is $\\boxed{7/2}$", "7/2"),
        (LONG + "The answer is (D).\n\n", "d"),
        (LONG + "Answer: **x = 3**", "x=3"),
        (LONG + "The answer is (A). No: the answer is (B).", "b"),
        (LONG, ""),
        ("", ""),
    ],
)
def test_final_answers(text: str, final: str) -> None:
    assert final_answer(text) == final


def test_objects_without_an_answer_key_are_compared_whole() -> None:
    assert final_answer('{"b": 1, "a": [2]}') == final_answer('{"a": [2], "b": 1}')


def test_agreement_is_a_half_where_there_is_nothing_to_compare() -> None:
    assert agreement("a", []) == agreement("", ["a"]) == agreement("a", ["", ""]) == 0.5
    assert agreement("a", ["a", "b"]) == 0.5 and agreement("a", ["a"]) == 1.0 and agreement("a", ["b"]) == 0.0


def test_features_are_finite_whatever_came_back() -> None:
    for answer in (
        AnswerSignals("", 0.0),
        AnswerSignals("x" * 100_000, 1e9, logprob=float("-inf"), consistency=1.0, valid=False, calls=0),
    ):
        figures = answer_features(answer, final_answer(answer.text), ["y"], 0.0)
        assert figures.shape == (ANSWER_FEATURES,) and abs(figures).max() < 100
