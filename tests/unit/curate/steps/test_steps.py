"""What each step takes away and why, on a few rows that say it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from curate_rows import make_rows, run, steps, why

from freehold.curate.pipeline import pipeline_sha256, run_pipeline
from freehold.domain.errors import ConfigError
from freehold.runners import LocalBatches

LONG = " ".join(f"word{number}" for number in range(40))


def test_of_equal_rows_the_first_stays_and_other_answers_to_its_prompt_do() -> None:
    rows = make_rows({"prompt": "Where is it"}, {"prompt": " where  IS it "}, {"prompt": "Where is it", "answer": "no"})
    assert why(run(rows, {"step": "exact-duplicates"})) == {"r1": "said before"}
    assert why(run(rows, {"step": "exact-duplicates", "by": "prompt"})) == {"r1": "said before", "r2": "said before"}


def test_what_is_nearly_held_out_is_not_learnt_from_and_certify_rows_all_stay() -> None:
    rows = make_rows(
        {"prompt": LONG},
        {"prompt": LONG.replace("word7", "other"), "part": "certify"},
        {"prompt": LONG.replace("word9", "other"), "part": "certify"},
        {"prompt": "something else that nobody else asked about here", "part": "fit"},
        {"prompt": "Something else that nobody else asked about here!", "part": "tune"},
        {"prompt": LONG[::-1]},
        {"prompt": LONG[::-1].upper()},
        {"prompt": ""},
        {"prompt": "…"},
    )
    done = run(rows, {"step": "near-duplicates"})
    assert why(done) == {"r0": "nearly what is held out", "r3": "nearly what is held out", "r6": "nearly said before"}
    assert done.steps[0].took == 9 and done.steps[0].gave == 6
    assert done.steps[0].reasons == {"nearly what is held out": 2, "nearly said before": 1}


def test_a_row_unlike_the_threshold_stays() -> None:
    half = " ".join(LONG.split()[:20]) + " " + " ".join(f"new{number}" for number in range(20))
    rows = make_rows({"prompt": LONG}, {"prompt": half}, {"prompt": LONG.replace("word7 ", "other ")})
    assert why(run(rows, {"step": "near-duplicates"})) == {"r2": "nearly said before"}
    assert not why(run(rows, {"step": "near-duplicates", "threshold": 0.95})), "37 of 41 runs are 0.9"


def test_copies_of_what_is_judged_by_are_found_wherever_they_stand(tmp_path: Path) -> None:
    run_of_13 = " ".join(LONG.split()[5:18])
    for name, content in (
        ("b.jsonl", '{"q": {"text": "Zebra yak xerus wombat vole urial tapir seal raven quail puma owl newt."}}\n\n'),
        ("b.txt", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"),
    ):
        (tmp_path / name).write_text(content)
    pl.DataFrame({"choices": [["short choice", " ".join(f"p{n}" for n in range(13))]]}).write_parquet(
        tmp_path / "b.parquet"
    )
    rows = make_rows(
        {"prompt": LONG, "part": "certify"},
        {"prompt": f"before, {run_of_13.upper()}: and after"},
        {"prompt": run_of_13.replace("word9", "x")},
        {"prompt": f"{run_of_13} again", "part": "tune"},
        {"prompt": "q", "answer": "zebra, yak xerus wombat vole urial tapir seal raven quail puma owl newt!"},
        {"prompt": "as two three four five six seven eight nine ten eleven twelve thirteen fourteen say"},
        {"prompt": "Short choice!"},
        {"prompt": " ".join(f"p{n}" for n in range(13)), "part": "tune"},
    )
    benchmarks = [str(tmp_path / name) for name in ("b.jsonl", "b.txt", "b.parquet")]
    done = run(rows, {"step": "decontaminate", "benchmarks": benchmarks}, batch_rows=3)
    assert why(done) == {
        "r1": "holds what certifies",
        "r3": "holds what certifies",
        "r4": "holds a benchmark's text",
        "r5": "holds a benchmark's text",
        "r6": "holds a benchmark's text",
        "r7": "holds a benchmark's text",
    }
    form = " ".join(f"form{number}" for number in range(20))
    many = [{"prompt": f"{form} {number}", "part": "certify"} for number in range(12)]
    assert not why(run(make_rows(*many, {"prompt": f"{form} mine"}), {"step": "decontaminate"})), "a form's own words"
    for name in ("none.jsonl", "bad.jsonl", "bad.parquet", "empty.txt"):
        if name != "none.jsonl":
            (tmp_path / name).write_text("  " if name == "empty.txt" else "{nonsense")
        with pytest.raises(ConfigError, match=name):
            run(rows, {"step": "decontaminate", "benchmarks": [str(tmp_path / name)]})


def test_the_first_condition_that_does_not_hold_is_the_reason() -> None:
    rows = make_rows(
        {"score": 0.9, "key": "vk_1"},
        {"score": 0.2, "key": "vk_1"},
        {"key": "vk_1"},
        {"score": 1.0, "key": "vk_2"},
        {"score": 1.0, "key": "vk_1", "model": "other-2"},
        {"score": 1.0, "key": "vk_1", "answered_by": "spare/gpt"},
        {"score": 1.0, "key": "vk_1", "source": "otlp"},
        {"score": 1.0, "key": "vk_1", "verdict": "duties"},
        {"score": 1.0, "key": "vk_1", "at_ns": 10**18},
        {"score": 0.0, "key": "vk_9", "part": "certify"},
    )
    asked = {"min_score": 0.5, "judged": True, "keys": ["vk_1"], "models": ["gpt*"], "upstreams": ["inc"]}
    asked |= {"sources": ["gateway"], "verdicts": ["allow"], "until": "2001-09-09"}
    assert why(run(rows, {"step": "filter", **asked})) == {
        "r1": "low score",
        "r2": "not judged",
        "r3": "another key",
        "r4": "another model",
        "r5": "another upstream",
        "r6": "another source",
        "r7": "rights bring duties",
        "r8": "too new",
    }
    assert not why(run(rows, {"step": "filter"})), "nothing is asked"
    with pytest.raises(ConfigError, match="tomorrow"):
        run(rows, {"step": "filter", "since": "tomorrow"})


def test_lengths_and_languages() -> None:
    rows = make_rows(
        {"prompt": "Where is the parcel that I have ordered from you?"},
        {"prompt": "Wo ist das Paket, das ich bei euch bestellt habe?"},
        {"prompt": "0x3f 77"},
        {"prompt": "x" * 61},
    )
    done = run(rows, {"step": "length", "max_prompt": 60}, {"step": "language", "languages": ["en"]})
    assert why(done) == {"r3": "prompt too long", "r1": "language de"}
    strict = run(rows, {"step": "language", "languages": ["en"], "unknown": False})
    assert why(strict) == {"r1": "language de", "r2": "unknown language", "r3": "unknown language"}
    with pytest.raises(ConfigError, match="tlh"):
        run(rows, {"step": "language", "languages": ["tlh"]})


def test_personal_data_gives_way_to_the_same_pseudonym_and_certify_rows_stay_as_they_came() -> None:
    mail = "write to jane.roe@corp-mail.net please"
    rows = make_rows(
        {"prompt": mail, "edit": mail},
        {"prompt": f"again: {mail}", "answer": mail},
        {"prompt": mail, "part": "certify"},
    )
    done = run(rows, {"step": "redact"}, batch_rows=1)
    first, second, third = done.rows.get_column("prompt")
    assert "jane.roe" not in first + second and second == f"again: {first}" and third == mail
    assert done.rows.get_column("answer").to_list() == ["yes", first, "yes"]
    assert done.rows.get_column("edit").to_list() == [first, None, None]
    assert done.rows.get_column("changed").to_list() == ["redact", "redact", ""]
    assert done.steps[0].changed == 2 and done.steps[0].gave == 3
    with pytest.raises(ConfigError, match="shoe-size"):
        run(rows, {"step": "redact", "kinds": ["shoe-size"]})
    with pytest.raises(ConfigError, match="no secret"):
        run_pipeline(rows, steps({"step": "redact"}), LocalBatches(9))
    masked = run_pipeline(rows, steps({"step": "redact", "mode": "mask"}), LocalBatches(9))
    assert "jane" not in masked.rows.get_column("prompt")[0]


def test_rows_with_secrets_go_or_are_masked() -> None:
    rows = make_rows({"prompt": "my key is AKIA" + "Z7QX3TPL5VWN2RKB is it valid"}, {"prompt": "my key does not turn"})
    assert why(run(rows, {"step": "secrets"})) == {"r0": "holds a secret: aws-key"}
    masked = run(rows, {"step": "secrets", "action": "mask"})
    assert "Z7QX3" not in masked.rows.get_column("prompt")[0] and masked.steps[0].changed == 1


def test_frequent_answers_are_thinned_in_fit_alone() -> None:
    rows = make_rows(
        *({"prompt": f"p{n}", "answer": ("Yes", "yes ")[n % 2]} for n in range(60)),
        *({"prompt": f"q{n}", "answer": "no"} for n in range(10)),
        *({"prompt": f"r{n}", "answer": "maybe"} for n in range(4)),
        *({"prompt": f"t{n}", "part": "tune"} for n in range(50)),
    )
    done = run(rows, {"step": "balance", "max_ratio": 2.0})
    kept = done.rows.group_by("part", pl.col("answer").str.to_lowercase().str.strip_chars()).len()
    assert set(kept.iter_rows()) == {("fit", "yes", 20), ("fit", "no", 10), ("fit", "maybe", 4), ("tune", "yes", 50)}
    assert run(rows.reverse(), {"step": "balance", "max_ratio": 2.0}).rows.equals(done.rows), "whatever the order"


def test_settings_that_do_the_same_have_the_same_hash_and_unknown_ones_are_refused() -> None:
    plain = pipeline_sha256(steps({"step": "near-duplicates"}))
    assert plain == pipeline_sha256(steps({"step": "near-duplicates", "threshold": 0.6}))
    assert plain != pipeline_sha256(steps({"step": "near-duplicates", "threshold": 0.61}))
    for bad in ({"step": "sprinkle"}, {"step": "length", "maximum": 3}, {"step": "near-duplicates", "threshold": 1.5}):
        with pytest.raises(msgspec.ValidationError):
            steps(bad)


def test_batches_and_order_of_arrival_change_nothing() -> None:
    rows = make_rows(*({"prompt": f"{LONG} {n % 7} jane@corp-mail.net", "answer": str(n % 3)} for n in range(40)))
    asked = ({"step": "redact"}, {"step": "exact-duplicates"}, {"step": "near-duplicates"}, {"step": "split"})
    whole = run(rows, *asked)
    for batch_rows, given in ((1, rows), (7, rows.reverse()), (40, rows.sample(fraction=1, shuffle=True, seed=3))):
        again = run(given, *asked, batch_rows=batch_rows)
        assert again.rows.equals(whole.rows) and again.left_out.equals(whole.left_out) and again.steps == whole.steps


ALL: tuple[dict[str, Any], ...] = (
    {"step": "filter", "min_score": 0.5, "models": ["gpt"], "since": "2020-01-01"},
    {"step": "best-answer"},
    {"step": "exact-duplicates"},
    {"step": "near-duplicates"},
    {"step": "decontaminate"},
    {"step": "secrets"},
    {"step": "redact"},
    {"step": "length"},
    {"step": "language", "languages": ["en"]},
    {"step": "influence"},
    {"step": "feedback-trust"},
    {"step": "balance"},
    {"step": "split"},
    {"step": "split", "newest": 0.2},
)


@pytest.mark.parametrize("asked", ALL, ids=lambda asked: asked["step"])
@pytest.mark.parametrize("prompts", [[], [""], ["…", ""]], ids=["no rows", "an empty row", "no words"])
def test_every_step_bears_rows_without_words_and_no_rows(asked: dict[str, Any], prompts: list[str]) -> None:
    done = run(make_rows(*({"prompt": prompt} for prompt in prompts)), asked)
    assert done.steps[0].took == len(prompts) and done.rows.height + done.left_out.height == len(prompts)
