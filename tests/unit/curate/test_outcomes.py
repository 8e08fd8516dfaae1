"""Recorded outcomes from files: every format the same, every defect said or counted, none mended."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from freehold.curate.outcome_prices import Price, parse_price
from freehold.curate.outcomes import list_models, read_outcomes
from freehold.domain.errors import EvidenceError, FreeholdError, NotFound, RequestError

Rows = list[dict[str, Any]]
MODELS = ("dear", "cheap", "middling")
COSTS = dict(zip(MODELS, (0.01, 0.001, 0.004), strict=True))


def rows_of(prompts: int = 300) -> Rows:
    return [
        {
            "prompt_id": f"p{number}",
            "task": "even" if number % 2 == 0 else "odd",
            "prompt": f"What is {number} plus one?",
            "model": model,
            "is_open_weight": model == "cheap",
            "response": f"{model} says {number + 1}",
            "score": 1.0 if model == "dear" else number % 2 / 2,
            "input_tokens": 10,
            "output_tokens": 5,
            "cost_usd": COSTS[model],
        }
        for number in range(prompts)
        for model in MODELS
    ]


def parquet(rows: Rows, path: Path) -> None:
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def csv(rows: Rows, path: Path) -> None:
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)


def lines(rows: Rows, path: Path) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def requests(rows: Rows, path: Path) -> None:
    """One line per prompt, the answers by model."""
    made: dict[str, dict[str, Any]] = {}
    for row in rows:
        shared = {name: row[name] for name in ("prompt_id", "task")}
        shared["messages"] = [said([{"type": "text", "text": row["prompt"]}])]
        line = made.setdefault(row["prompt_id"], {**shared, "answers": {}})
        line["answers"][row["model"]] = {name: row[name] for name in row if name not in (*shared, "prompt", "model")}
    lines(list(made.values()), path)


INSTRUCTIONS = [{"role": "system", "content": "Be brief."}]


def said(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def exchanges(rows: Rows, path: Path) -> None:
    """As they went over the wire, score beside."""
    lines(
        [
            {
                "request": {"model": row["model"], "messages": [*INSTRUCTIONS, said(row["prompt"])]},
                "response": {
                    "model": f"{row['model']}-2026",
                    "choices": [{"message": {"role": "assistant", "content": row["response"]}}],
                    "usage": {"prompt_tokens": row["input_tokens"], "completion_tokens": row["output_tokens"]},
                },
                **{name: row[name] for name in ("prompt_id", "task", "score", "cost_usd", "is_open_weight")},
            }
            for row in rows
        ],
        path,
    )


@pytest.mark.parametrize("write", [parquet, csv, lines, requests, exchanges])
def test_every_format_gives_the_same_outcomes(write: Callable[[Rows, Path], None], tmp_path: Path) -> None:
    write(rows_of(), tmp_path / "file")
    outcomes, left_out, sources = read_outcomes(tmp_path / "file", "dear", ["middling", "cheap"])
    assert outcomes.models == ("dear", "cheap", "middling")  # candidates from cheap to dear
    assert outcomes.owned == (False, True, False) and left_out == {} and set(sources.values()) == {"the file"}
    assert len(outcomes) == 300 and outcomes.prompt_ids[:2] == ["p0", "p1"]
    assert outcomes.prompts[7] == "What is 7 plus one?" and outcomes.tasks[7] == "odd"
    assert outcomes.scores[7].tolist() == [1.0, 0.5, 0.5] and outcomes.costs[7].tolist() == [0.01, 0.001, 0.004]
    assert outcomes.answers is not None and outcomes.answers[0][7] is None
    assert (outcomes.answers[1][7], outcomes.answers[2][7]) == ("cheap says 8", "middling says 8")


def test_three_columns_will_do(tmp_path: Path) -> None:
    rows = [{"prompt": row["prompt"], "model": row["model"], "score": row["score"]} for row in rows_of(50)]
    csv(rows, tmp_path / "file.csv")
    prices = dict(parse_price(text) for text in ("dear=0.01", "cheap=0.001"))
    outcomes, left_out, sources = read_outcomes(tmp_path / "file.csv", "dear", ["cheap"], prices=prices)
    assert len(outcomes) == 50 and outcomes.answers is None and set(outcomes.tasks) == {""}
    assert len(set(outcomes.prompt_ids)) == 50 and left_out == {"of other models": 50}
    assert outcomes.costs.mean(0).tolist() == pytest.approx([0.01, 0.001])
    assert set(sources.values()) == {"the price given"}


def test_dollars_come_from_the_price_given_then_the_file_then_the_list(tmp_path: Path) -> None:
    rows = rows_of(100)
    for row in rows:
        row["model"] = {"dear": "gpt-4-0314"}.get(row["model"], row["model"])
        row["cost_usd"] = None if row["model"] == "gpt-4-0314" else row["cost_usd"]
    parquet(rows, tmp_path / "file")
    prices = {"middling": Price(input=1.0, output=2.0)}
    outcomes, _, sources = read_outcomes(tmp_path / "file", "gpt-4-0314", ["cheap", "middling"], prices=prices)
    assert outcomes.models == ("gpt-4-0314", "middling", "cheap")
    assert outcomes.costs[0].tolist() == pytest.approx([(10 * 30 + 5 * 60) / 1e6, 20e-6, 0.001])
    assert list(sources.values()) == ["list price × tokens", "the price given", "the file"]
    listed = list_models(tmp_path / "file")
    assert [item.model for item in listed] == ["gpt-4-0314", "cheap", "middling"]
    assert (listed[0].rows, listed[0].score, listed[0].dollars) == (100, 1.0, pytest.approx(600e-6))


def test_thinning_is_by_prompt_and_uniform_and_repeatable(tmp_path: Path) -> None:
    parquet(rows_of(4000), tmp_path / "file")
    first = read_outcomes(tmp_path / "file", "dear", ["cheap"], limit=1000)
    again = read_outcomes(tmp_path / "file", "dear", ["cheap"], limit=1000)
    assert first.outcomes.prompts == again.outcomes.prompts and len(first.outcomes) == 1000
    assert first.left_out["of prompts beyond the limit of 1,000, thinned by a hash"] == 6000
    numbers = np.array([int(name[1:]) for name in first.outcomes.prompt_ids])
    assert abs(numbers.mean() - 1999.5) < 4 * 1155 * math.sqrt(0.75 / 1000)  # four standard errors
    assert abs((numbers % 2).mean() - 0.5) < 4 * 0.5 * math.sqrt(0.75 / 1000)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = rows_of(400)
    rows[0]["score"] = None  # dear, prompt 0
    rows[3]["score"] = math.nan  # dear, prompt 1
    rows[7]["cost_usd"] = rows[7]["input_tokens"] = None  # cheap, prompt 2
    rows += [{**rows[9], "score": 0.0}, {**rows[12], "score": 0.0}]  # prompts 3 and 4 again
    rows = [row for row in rows if not (row["prompt_id"] == "p5" and row["model"] == "cheap")]
    lines(rows, tmp_path / "file")
    outcomes, left_out, _ = read_outcomes(tmp_path / "file", "dear", ["cheap"])
    assert left_out == {
        "of other models": 400,
        "rows that have no score that is a number": 2,
        "rows that have no cost": 1,
        "the same model again on the same prompt": 2,
        "of prompts not scored for every model": 4,
    }
    assert sum(left_out.values()) + 2 * len(outcomes) == len(rows)
    assert outcomes.prompt_ids[0] == "p3" and outcomes.scores[0, 0] == 1.0  # of repeated questions the first counts


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def spoilt(*at: int, model: str = "", **values: object) -> Callable[[Path], object]:
    """Sixty prompts by three models; in rows `at`, or in all of `model`'s, or in all, other values."""

    def write(path: Path) -> None:
        rows = rows_of(60)
        for number in at or range(len(rows)):
            if rows[number]["model"] == (model or rows[number]["model"]):
                rows[number].update(values)
        lines(rows, path)

    return write


def without_shared_prompts(path: Path) -> None:
    rows = rows_of(60)
    for row in rows:
        row["prompt_id"] = row["model"] + row["prompt_id"]
    lines(rows, path)


def a_picture(path: Path) -> None:
    answers = {model: {"score": 1, "cost_usd": 1} for model in MODELS}
    lines([{"messages": [said([{"type": "image_url"}])], "answers": answers}], path)


def deer(path: Path) -> None:
    lines([{**row, "model": row["model"].replace("dear", "deer")} for row in rows_of(60)], path)


def nested(path: Path) -> None:
    parquet([{"prompt": ["a"], "model": "dear", "score": 1.0}], path)


BAD: list[tuple[type[FreeholdError], str, Callable[[Path], object]]] = [
    (NotFound, "There is no file", lambda path: None),
    (RequestError, "is a folder", lambda path: path.mkdir()),
    (RequestError, "is empty", written(b"\n \n")),
    (RequestError, "is not a table", written(b"\0\1\2\3" * 99)),
    (RequestError, "cannot be read as PARQUET", written(b"PAR1" + b"\0" * 99)),
    (RequestError, "packed with gzip", written(b"\x1f\x8b" + b"\0" * 99)),
    (RequestError, "is one JSON array", written(b'[{"prompt": "a"}]')),
    (RequestError, "has no column `prompt`", written(b"Dear Sir,\nhow are you?\n")),
    (RequestError, "no column `score`. Its columns: `scores`,", written(b"model,prompt,scores\n")),
    (RequestError, "Line 2 of .* is not JSON", written(b'{"prompt":"a","model":"b"}\n{"a"')),
    (RequestError, "Line 1 of .* has the fields `question`", written(b'{"question": "a"}')),
    (RequestError, "Line 1 of .* not an object", written(b'{"answers": 3}')),
    (RequestError, "Line 1 of .* messages are not a list", written(b'{"messages": ["hello"], "scores": {"dear": 1}}')),
    (RequestError, "1 of the 1 rows of dear .* no prompt that is text", a_picture),
    (RequestError, "holds List", nested),
    (NotFound, "no model 'dear'. It has deer, cheap,", deer),
    (RequestError, "run from 0 to 100 .row 1: 100, row 4: 100", spoilt(model="dear", score=100)),
    (RequestError, "run from -1 to", spoilt(0, score=-1)),
    (RequestError, "run from 0 to inf", spoilt(0, score=math.inf)),
    (RequestError, "2 of the 60 rows of dear .* no score that is a number: rows 1, 4", spoilt(0, 3, score=math.nan)),
    (RequestError, "60 of the 60 rows of cheap .* no score", spoilt(model="cheap", score=None)),
    (RequestError, "no score that is a number", spoilt(0, score="good")),
    (RequestError, "1 of the 60 rows of dear .* have no prompt that is text: rows 1", spoilt(0, prompt="")),
    (RequestError, "What cheap costs is not known.*no list price", spoilt(model="cheap", cost_usd=None)),
    (RequestError, "negative or infinite", spoilt(0, cost_usd=-1)),
    (RequestError, "stands for more than one prompt 1 times, as in rows 4 and 16", spoilt(3, prompt_id="p5")),
    (EvidenceError, "No prompt of .* has a score of every model.*dear 60, cheap 60", without_shared_prompts),
]


@pytest.mark.parametrize(("kind", "says", "write"), BAD, ids=[says for _, says, _ in BAD])
def test_bad_input_is_a_clear_error(
    kind: type[FreeholdError], says: str, write: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / "file")
    with pytest.raises(kind, match=says) as caught:
        read_outcomes(tmp_path / "file", "dear", ["cheap"])
    assert caught.value.hint and "  " not in str(caught.value)


@pytest.mark.parametrize("text", ["gpt", "=1,2", "a=", "a=1,2,3", "a=-1", "a=nan", "a=x,1"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a price"):
        parse_price(text)


def test_prices_may_have_names_with_signs() -> None:
    assert parse_price("a=b/c=1,2.5") == ("a=b/c", Price(input=1.0, output=2.5))
