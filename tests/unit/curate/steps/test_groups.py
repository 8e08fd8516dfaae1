"""Steps that look at rows together: the split, and whose answer is learnt from."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
from curate_rows import make_rows, run, why

from freehold.curate.samples import prompt_share


def _traffic(count: int, seed: int) -> pl.DataFrame:
    """Episodes of a few rows, some prompts asked again and again; parts as collected."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        prompt = f"common {draw.randrange(20)}" if draw.random() < 0.2 else f"rare {number}"
        share = prompt_share("task_1", prompt)
        part = "fit" if share < 0.62 else "tune" if share < 0.7 else "certify"
        episode = f"e{number // 3}" if draw.random() < 0.5 else None
        uniform = draw.random() < 0.9
        rows.append({"prompt": prompt, "part": part, "episode": episode, "key": "vk_1", "uniform": uniform})
        rows[-1]["answer"] = "urgent" if share * 7 % 1 < 0.1 else "not urgent"
    return make_rows(*rows)


@pytest.mark.parametrize("asked", [{}, {"stratify": False}, {"newest": 0.25}])
def test_no_prompt_and_no_episode_is_in_two_parts(asked: dict[str, Any]) -> None:
    done = run(_traffic(600, 1), {"step": "split", **asked}).rows
    for by in (["prompt"], ["key", "episode"]):
        parts = done.filter(pl.col(by[-1]).is_not_null()).group_by(by).agg(pl.col("part").n_unique())
        assert parts.get_column("part").max() == 1
    assert done.filter(part="certify").get_column("uniform").all(), "what was not drawn fairly never certifies"
    assert set(done.get_column("part")) == {"fit", "tune", "certify"}


def test_every_fair_row_certifies_with_the_same_chance_whatever_was_answered() -> None:
    counts = {"urgent": [0, 0], "not urgent": [0, 0]}
    for seed in range(30):
        rows = make_rows(
            *(
                {"prompt": f"{seed} {n}", "episode": f"e{n // 2}", "answer": "urgent" if n % 5 == 0 else "not urgent"}
                | {"part": "certify" if prompt_share("t", f"{seed} {n}") >= 0.7 else "fit"}
                for n in range(100)
            )
        )
        for answer, part in run(rows, {"step": "split"}).rows.select("answer", "part").iter_rows():
            counts[answer][part == "certify"] += 1
    for rest, certify in counts.values():
        assert certify / (certify + rest) == pytest.approx(0.3, abs=0.05)


def test_the_newest_certify_and_what_they_belong_to_is_left_out() -> None:
    rows = make_rows(
        *({"prompt": f"old {n}"} for n in range(6)),
        {"prompt": "asked again"},
        {"prompt": "asked again", "part": "tune"},
        {"prompt": "new", "uniform": False},
        {"prompt": "newer"},
    )
    done = run(rows, {"step": "split", "newest": 0.3})
    assert why(done) == {"r6": "belongs to what is held out", "r8": "beside what certifies"}
    assert done.rows.filter(part="certify").get_column("row").to_list() == ["r7", "r9"]


def test_answers_have_the_same_shares_in_fit_and_tune() -> None:
    rows = _traffic(2000, 2).with_columns(episode=pl.lit(None, pl.String))
    done = run(rows, {"step": "split"}).rows
    shares = done.group_by("part").agg((pl.col("answer") == "urgent").mean()).sort("part")
    by_part = dict(shares.iter_rows())
    assert by_part["fit"] == pytest.approx(by_part["tune"], abs=0.02)
    assert (done.get_column("part") == "certify").sum() == pytest.approx(600 * 0.9, abs=90)


@pytest.mark.parametrize(
    ("group", "answer", "won"),
    [
        ([{"answer": "a"}, {"answer": "b"}], None, "the incumbent won"),
        ([{"answer": "a", "score": 0.4}, {"answer": "b", "score": 0.9}], "b", "the best score won"),
        ([{"answer": "a", "score": 0.1}, {"answer": "b", "score": 0.3}], None, "the incumbent won"),
        ([{"answer": "a"}, {"answer": "b"}, {"answer": "B "}], "b", "the majority won"),
        ([{"answer": "a"}, {"answer": "b"}, {"answer": "c"}], None, "the incumbent won"),
        ([{"answer": "a", "label": "c"}, {"answer": "b", "score": 1.0}], "c", "a person's label won"),
        ([{"answer": "a", "edit": "d", "label": "c"}, {"answer": "b"}], "d", "a person's edit won"),
        ([{"answer": '{"x": 1}', "label": "c"}, {"answer": '{"x": 2}'}], None, "the incumbent won"),
    ],
)
def test_whose_answer_is_learnt_from(group: list[dict[str, Any]], answer: str | None, won: str) -> None:
    first, *others = group
    models = ("inc/gpt", "spare/two", "spare/three")
    rows = make_rows(
        {"prompt": "Same", **first},
        *(
            {
                "prompt": "same",
                "answered_by": model,
                "origin": "shadow",
                "uniform": False,
                "terms": "apache-2.0",
                **other,
            }
            for model, other in zip(models[1:], others, strict=False)
        ),
        {"prompt": "same", "part": "certify", "answer": first["answer"]},
        {"prompt": "unasked"},
    )
    done = run(rows, {"step": "best-answer"})
    assert set(why(done).values()) == {f"compared with: {won}"} and len(why(done)) == len(others)
    kept = done.rows.rows_by_key("row", named=True, unique=True)
    assert kept["r0"]["answer"] == (answer or first["answer"])
    assert kept[f"r{len(group)}"]["answer"] == first["answer"], "certify rows keep the incumbent's answer"
    if answer == "b":
        assert kept["r0"]["answered_by"].startswith("spare/") and kept["r0"]["terms"] == "apache-2.0"
        assert kept["r0"]["origin"] == "shadow" and kept["r0"]["changed"] == "best-answer"
    if answer in ("c", "d"):
        assert kept["r0"]["origin"] == "person"
