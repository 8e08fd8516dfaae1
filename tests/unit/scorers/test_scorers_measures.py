"""The measures that need no process of their own: what they give, and that nothing in an answer can break them."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import (
    ExactScorer,
    FeedbackScorer,
    JsonScorer,
    JudgeScorer,
    NumericScorer,
    RegexScorer,
    Scorer,
    TextScorer,
    harm,
    scored,
    signed,
)
from freehold.scorers import Context, check, compare, score

GRADES: list[tuple[Scorer, str, str, float | None]] = [
    (ExactScorer(), " Card  Arrival\n", "card arrival", 1.0),
    (ExactScorer(fold_case=False), "Card", "card", 0.0),
    (ExactScorer(fold_space=False), "a  b", "a b", 0.0),
    (ExactScorer(fold_punctuation=True), "Yes!", "yes", 1.0),
    (ExactScorer(), "yes!", "yes", 0.0),
    (ExactScorer(), "Stra\u00dfe", "STRASSE", 1.0),
    (ExactScorer(), "e\u0301", "\u00e9", 1.0),
    (ExactScorer(), '```json\n{"b": 1, "a": 2}\n```', '{"a":2,"b":1}', 1.0),
    (JsonScorer(), '{"a": 1, "b": {"c": "x", "d": [1, 2]}}', '{"b": {"d": [1, 2], "c": "x"}, "a": 1.0}', 1.0),
    (JsonScorer(), '{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 0.5),
    (JsonScorer(), '{"a": [2, 1]}', '{"a": [1, 2]}', 0.0),
    (JsonScorer(), '{"a": true}', '{"a": 1}', 0.0),
    (JsonScorer(), '{"a": null}', "{}", 0.0),
    (JsonScorer(), '{"a": 1}', '{"a": 1, "b": null}', 0.5),
    (JsonScorer(), '{"a": 1, "b": 1}', '{"a": 1}', 0.5),
    (JsonScorer(extra="ignore"), '{"a": 1, "b": 1}', '{"a": 1}', 1.0),
    (JsonScorer(weights={"a": 3.0}), '{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 0.75),
    (JsonScorer(weights={"x.y": 1.0}, default_weight=0.0), '{"x": {"y": 1}}', '{"x": {"y": 1}, "z": 2}', 1.0),
    (JsonScorer(weights={"q": 1.0}, default_weight=0.0), '{"a": 1}', '{"a": 1}', None),
    (JsonScorer(tolerances={"p": 0.5}), '{"p": 10.5, "q": 1.1}', '{"p": 10, "q": 1}', 0.5),
    (JsonScorer(tolerance=0.2), '{"p": [1.1, 2]}', '{"p": [1, 2]}', 1.0),
    (JsonScorer(fold_case=True), '{"a": "X"}', '{"a": "x"}', 1.0),
    (JsonScorer(), '{"a": NaN}', '{"a": 1}', 0.0),
    (JsonScorer(), "no JSON", '{"a": 1}', 0.0),
    (JsonScorer(), '{"a": 1}', "no JSON", None),
    (JsonScorer(), '{"a": 1' + "0" * 400 + "}", '{"a": 1.5}', 0.0),
    (NumericScorer(), "1,234.50", "$1234.5", 1.0),
    (NumericScorer(), "\u22125", "-5", 1.0),
    (NumericScorer(), "5", "-5", 0.0),
    (NumericScorer(), "50%", "50", 1.0),
    (NumericScorer(relative=0.01), "101", "100", 1.0),
    (NumericScorer(relative=0.01), "102", "100", 0.0),
    (NumericScorer(absolute=2, relative=0), "102", "100", 1.0),
    (NumericScorer(relative=0), "10000000000000000000001", "10000000000000000000002", 0.0),
    (NumericScorer(), "about 7", "7", 0.0),
    (NumericScorer(final=True), "3 + 4 = 7.\n\nThe answer is **7**.", "7", 1.0),
    (NumericScorer(final=True), r"So \boxed{-3}, as in step 5", "-3", 1.0),
    (NumericScorer(final=True), "from 2 to 10-7", "7", 1.0),
    (NumericScorer(), "nan", "nan", None),
    (NumericScorer(), "inf", "1", 0.0),
    (NumericScorer(), "1e999999999", "1", 0.0),
    (RegexScorer(pattern=r"^\d{4}-\d\d$"), "2026-01", "", 1.0),
    (RegexScorer(pattern=r"\d", full=True), "12", "", 0.0),
    (RegexScorer(pattern=r"abc", ignore_case=True), "xABCx", "", 1.0),
    (RegexScorer(pattern=r"id: (\w+)", compare=True), "the id: x7.", "id: x7", 1.0),
    (RegexScorer(pattern=r"id: (\w+)", compare=True), "id: x8", "id: x7", 0.0),
    (RegexScorer(pattern=r"id: (\w+)", compare=True), "id: x8", "nothing", None),
    (TextScorer(), "the cat", "the cat", 1.0),
    (TextScorer(), "xyz", "abc", 0.0),
    (TextScorer(), "", "abc", 0.0),
    (TextScorer(), "abc", "", None),
    (TextScorer(measure="token_f1"), "The cat sat!", "the cat stood", 2 / 3),
]


@pytest.mark.parametrize(("scorer", "answer", "reference", "value"), GRADES)
def test_a_score_is_what_the_measure_says(scorer: Scorer, answer: str, reference: str, value: float | None) -> None:
    given_score = score(scorer, answer, reference)
    assert given_score.value == (None if value is None else pytest.approx(value))
    assert bool(given_score.failed) is (value is None) and (given_score.detail or given_score.failed).endswith(".")
    assert score(scorer, answer, reference) == given_score


SACREBLEU = [
    ("Your parcel is on its way and arrives on Monday.", "The parcel arrives Monday; it is on its way.", 0.5626),
    ("cat", "the cat sat", 0.2853),
    ("a quite different reply", "Your refund was sent.", 0.1295),
]


def test_chrf_is_the_f_score_of_mean_precision_and_recall() -> None:
    # "abcd" in "abcde": orders 1 … 4; precision 1 and recall 4/5, 3/4, 2/3, 1/2.
    precision, recall = 1, (4 / 5 + 3 / 4 + 2 / 3 + 1 / 2) / 4
    expected = 5 * precision * recall / (4 * precision + recall)
    assert score(TextScorer(), "ab cd", "abcde").value == pytest.approx(expected)
    # Figures of sacreBLEU 2.6.0, CHRF().sentence_score.
    for answer, reference, figure in SACREBLEU:
        assert score(TextScorer(), answer, reference).value == pytest.approx(figure, abs=1e-4)


def test_feedback_is_the_mean_of_usable_scores_and_unscored_without_any() -> None:
    context = Context(feedback=(1.0, 0.5, math.nan, 7.0), reference_feedback=(1.0,))
    assert score(FeedbackScorer(), "a", None, context).value == 0.75
    compared = compare(FeedbackScorer(), "a", "b", context)
    assert (compared.reference.value, compared.harm) == (1.0, 0.25)
    assert score(FeedbackScorer(), "a", None).value is None


def test_what_cannot_be_scored_counts_at_its_worst_and_is_never_a_one() -> None:
    assert (signed(0.25, 0.75), harm(0.25, 0.75), harm(0.75, 0.25)) == (-0.5, 0.0, 0.5)
    assert (signed(None, None), harm(0.0, None), harm(None, 1.0)) == (1.0, 0.0, 0.0)
    silent = compare(ExactScorer(), None, "yes")
    assert (silent.answer.value, silent.reference.value, silent.harm) == (None, 1.0, 1.0) and silent.failed
    unusable = compare(JsonScorer(), "{}", "not JSON")
    assert (unusable.reference.value, unusable.answer.value, unusable.harm) == (None, None, 1.0)
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="in \\[0, 1\\]"):
            scored(wrong, "")


HOSTILE = [
    "",
    "\ud800 lone surrogates \udfff",
    "\x00\x1b[31m",
    "[" * 100_000,
    '{"a":' * 5_000 + "1" + "}" * 5_000,
    '{"a":' * 600 + "1" + "}" * 600,
    "9" * 100_000,
    '{"a": ' + "9" * 4_500 + "}",
    "x" * 100_000,
    "x" * 1_000_001,
]
CHEAP: list[Scorer] = [
    ExactScorer(fold_punctuation=True),
    JsonScorer(),
    NumericScorer(final=True),
    RegexScorer(pattern=r"(\w)\W*$", compare=True),
    TextScorer(),
    TextScorer(measure="token_f1"),
]


@pytest.mark.parametrize("scorer", CHEAP, ids=lambda scorer: type(scorer).__name__)
def test_nothing_in_an_answer_breaks_a_scorer_or_holds_it_up(scorer: Scorer) -> None:
    began = time.process_time()
    for text in HOSTILE:
        for other in ("reference 1", '{"a": 1}', text):
            for one in (score(scorer, text, other), score(scorer, other, text)):
                assert (one.value is None) == bool(one.failed)
                assert (one.failed + one.detail).encode()
    assert time.process_time() - began < 10


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(CHEAP))
def test_every_pair_of_texts_has_a_score_in_range_or_a_reason(answer: str, reference: str, scorer: Scorer) -> None:
    one = score(scorer, answer, reference)
    assert one.failed if one.value is None else 0.0 <= one.value <= 1.0
    itself = score(scorer, answer, answer)
    assert itself.value in (1.0, None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                    max_leaves=8))  # fmt: skip
def test_any_json_agrees_with_itself(value: Any) -> None:
    import json

    text = json.dumps(value)
    assert score(JsonScorer(), json.dumps(value, indent=1), text).value == 1.0


def test_a_pattern_that_backtracks_without_end_is_stopped() -> None:
    began = time.monotonic()
    one = score(RegexScorer(pattern=r"(?:a|aa)+$", seconds=0.1), "a" * 80 + "b", None)
    assert one.value is None and "0.1 s" in one.failed
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "scorer",
    [RegexScorer(pattern="(["), JsonScorer(default_weight=0.0), JsonScorer(default_weight=0.0, weights={"a": 0})],
)
def test_a_scorer_that_can_score_nothing_is_found_out_before_use(scorer: Scorer) -> None:
    with pytest.raises(ScorerError) as caught:
        check(scorer)
    assert caught.value.hint


def test_a_judge_is_not_asked_without_a_way_to_ask() -> None:
    with pytest.raises(ScorerError):
        score(JudgeScorer(model="m"), "a", "b")
