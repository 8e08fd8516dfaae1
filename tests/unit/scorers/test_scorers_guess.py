"""Guesses, with their reasons; and scorers in the configuration."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from freehold.config import load_settings
from freehold.domain.chat import parse_chat
from freehold.domain.errors import ConfigError
from freehold.domain.scoring import ExactScorer, FeedbackScorer, JsonScorer, NumericScorer, PythonScorer, SqlScorer
from freehold.domain.tasks import Task
from freehold.scorers import context_of, guess, score

_rng = random.Random(0)
WORDS = ["refund", "parcel", "delayed", "polite", "answer", "customer", "warm", "thanks", "soon", "today"]


def free_text() -> str:
    return " ".join(_rng.choices(WORDS, k=12)) + "."


def numbers(n: int) -> list[str]:
    return [str(_rng.randrange(10**6)) for _ in range(n)]


KINDS: list[tuple[str, list[str], type | None, str]] = [
    ("labels", [_rng.choice(["yes", "no", "Yes "]) for _ in range(100)], ExactScorer, "3 different answers in 100"),
    ("numbers", numbers(60), NumericScorer, "60 of 60"),
    ("final numbers", [f"Add them.\nThe answer is {n}." for n in numbers(60)], NumericScorer, "60 of 60"),
    ("sql", [f"```sql\nSELECT a FROM t WHERE id = {n};\n```" for n in numbers(40)], None, "no database"),
    ("code", [f"```python\ndef f(x):\n    return x + {n}\n```" for n in numbers(40)], None, "no tests"),
    ("text", [free_text() for _ in range(60)], None, "Free text: 60 different answers in 60"),
    ("few", ["yes"] * 19, None, "too few"),
    ("empty", [""] * 50, None, "1 different answers in 50"),
    ("odd", ["\ud800", "[" * 10_000, "x" * 100_000] * 20, None, "3 different answers in 60"),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "kind", "figure"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_a_guess_follows_the_answers_and_gives_its_figures(answers: list[str], kind: type | None, figure: str) -> None:
    made = guess(answers)
    assert type(made.scorer) is (kind or type(None)) and figure in made.reason
    if made.scorer is not None:
        assert made.scorer.reason == made.reason
        assert all(score(made.scorer, answer, answer).value == 1.0 for answer in answers)


def test_fields_are_weighted_equally_and_decimals_get_half_their_last_place() -> None:
    rows = [{"id": n, "price": n / 100, "note": free_text(), "who": {"vip": n % 2 == 0}} for n in range(1, 80)]
    made = guess([json.dumps(row) for row in rows])
    assert isinstance(made.scorer, JsonScorer)
    assert made.scorer.tolerances == {"price": 0.005} and made.scorer.weights == {}
    assert "79 of 79" in made.reason and "note" in made.reason and "who.vip" not in made.reason
    one, other = {"id": 1, "price": 1.25, "note": "a"}, {"id": 1, "price": 1.254, "note": "b"}
    assert score(made.scorer, json.dumps(other), json.dumps(one)).value == pytest.approx(2 / 3)


def test_queries_and_code_are_run_once_there_is_something_to_run_them_on() -> None:
    queries = [f"SELECT a FROM t WHERE id = {n}" for n in numbers(40)]
    made = guess(queries, database="/data/shop.sqlite")
    assert isinstance(made.scorer, SqlScorer) and made.scorer.database == "/data/shop.sqlite"
    assert [type(other) for other in guess(queries).offered] == [ExactScorer]
    code = [f"def f(x):\n    return x + {n}" for n in numbers(40)]
    made = guess(code, tests="assert f(1)")
    assert isinstance(made.scorer, PythonScorer) and made.scorer.tests == "assert f(1)"


def request(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}).encode()


def test_requests_with_tools_are_not_guessed_and_a_schema_is_mentioned() -> None:
    tools = parse_chat(request(tools=[{"type": "function", "function": {"name": "f"}}]))
    made = guess(["yes"] * 50, [tools])
    assert made.scorer is None and "1 of 1 requests offer tools" in made.reason
    assert [type(other) for other in made.offered] == [FeedbackScorer]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = parse_chat(request(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}))
    made = guess([json.dumps({"a": n}) for n in range(50)], [asked])
    assert isinstance(made.scorer, JsonScorer) and "JSON Schema" in made.reason and len(made.offered) == 1
    assert context_of(asked).schema == schema and context_of(asked).prompt == "Hi"
    for odd in ("json", {"type": "json_object"}, {"json_schema": "x"}, {"json_schema": {"schema": []}}):
        assert context_of(parse_chat(request(response_format=odd))).schema is None


def configured(folder: Path, text: str) -> Path:
    path = folder / "freehold.toml"
    path.write_text(text)
    return path


def test_a_scorer_is_set_in_the_configuration(tmp_path: Path) -> None:
    path = configured(tmp_path, '[tasks.invoices.scorer]\nkind = "json"\nweights = { total = 3 }\n')
    own = load_settings(path).task("invoices", "task_1")
    assert own.scorer == JsonScorer(weights={"total": 3.0})
    assert Task(task_id="t", name="n").scorer is None


@pytest.mark.parametrize(
    "line",
    [
        'kind = "telepathy"',
        'kind = "exact"\nfold_colour = true',
        'kind = "numeric"\nabsolute = nan',
        'kind = "numeric"\nrelative = -1',
        'kind = "numeric"\nabsolute = inf',
        'kind = "regex"',
        'kind = "python"\nseconds = 0',
        'kind = "judge"\nmodel = ""',
        "case = true",
    ],
)
def test_a_scorer_that_is_not_one_is_refused_and_the_field_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks"):
        load_settings(configured(tmp_path, f"[tasks.t.scorer]\n{line}\n"))
