"""Best of several answers, and pairs of which one is better, by the scorers themselves."""

from __future__ import annotations

import pytest
from generative_rows import recipe, sample

from freehold.domain.errors import EvidenceError
from freehold.domain.scoring import ExactScorer, JsonScorer, JudgeScorer, RegexScorer, SqlScorer
from freehold.scorers import Context
from freehold.train.generative.distil import best_answers, best_of
from freehold.train.generative.preferences import (
    Judged,
    Pair,
    chosen_pairs,
    pairs_from_feedback,
    pairs_from_incumbent,
)
from freehold.train.recipes import Preference

SCRIPT = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2), (3);"
SQL = SqlScorer(script=SCRIPT)


def test_the_answer_that_agrees_with_most_is_the_best() -> None:
    queries = ["SELECT a FROM t WHERE a > 2", "SELECT a FROM t WHERE a >= 2", "SELECT b", "SELECT a FROM t WHERE a>1"]
    group = [sample("which are 2 or more?", query) for query in queries]
    assert best_of(group, SQL) == 1
    assert best_of(group[:1], SQL) == 0
    assert best_of(group[2:], SQL) == 0 and best_of(group, JudgeScorer(model="m")) == 0
    forms = [sample("q", text) for text in ('{"a": 1}', '{"a": 2, "b": 1}', '{"a": 2, "b": 1}', '{"a": 2}')]
    assert best_of(forms, JsonScorer()) == 1
    assert best_of([sample("q", "none"), sample("q", "order 7")], RegexScorer(pattern=r"\d")) == 1


def test_k_answers_per_prompt_or_the_best_of_them() -> None:
    rows = [sample("q", answer) for answer in ("x", "y", "y", "z")]
    rows += [sample("other", "w"), sample("q", "c", "certify")]
    assert best_answers(rows, recipe(), ExactScorer()).samples == rows
    three = recipe(data={"samples": 3})
    found = best_answers(rows, three, ExactScorer(), lambda _: Context())
    assert [one.answer for one in found.samples] == ["y", "w", "c"]
    assert (found.prompts, found.dropped, found.changed) == (1, 3, 1)
    every = best_answers(rows, recipe(data={"samples": 3, "best_of": False}), ExactScorer())
    assert [one.answer for one in every.samples] == ["x", "y", "y", "w", "c"] and every.changed == 0


def test_feedback_gives_pairs() -> None:
    judged = [
        Judged("q1", "bad", "t1", edit="good"),
        Judged("q2", "same", "t2", edit="same"),
        Judged("q3", '{"a": 1}', "t3", label="billing"),
        Judged("q4", "bug", "t4", label="billing"),
        Judged("q5", "liked", "t5", (1.0, 0.8)),
        Judged("q5", "hated", "t6", (0.1,)),
        Judged("q5", "so so", "t7", (0.5,)),
        Judged("q6", "liked", "t8", (0.9,)),
        Judged("q6", "liked as well", "t9", (0.8,)),
    ]
    assert [pair[:3] for pair in pairs_from_feedback(judged)] == [
        ("q1", "good", "bad"), ("q4", "billing", "bug"), ("q5", "liked", "hated"),
    ]  # fmt: skip


def test_the_incumbents_answer_is_preferred_where_the_students_scores_worse() -> None:
    rows = [sample(f"q{number}", "SELECT a FROM t WHERE a > 1") for number in range(4)] + [
        sample("q", "SELECT", "tune")
    ]
    answers = ["SELECT a FROM t WHERE a > 1", "SELECT a FROM t WHERE a >= 2", "SELECT 7", "nonsense", "x"]
    found = pairs_from_incumbent(rows, answers, SQL)
    assert [pair.rejected for pair in found] == ["SELECT 7", "nonsense"]
    assert all(pair.chosen == rows[0].answer and pair.source == "incumbent" for pair in found)


def test_pairs_are_chosen_by_source_without_those_that_contradict_each_other() -> None:
    pairs = [Pair(f"q{number}", "a", "b", "feedback") for number in range(30)]
    undone = [*pairs, *pairs[:3], Pair("q0", "b", "a", "incumbent")]
    assert len(chosen_pairs(undone, Preference())) == 29
    assert len(chosen_pairs(undone, Preference(pairs="feedback"))) == 30
    with pytest.raises(EvidenceError, match="1 pairs to learn preferences from"):
        chosen_pairs(undone, Preference(pairs="incumbent"))
