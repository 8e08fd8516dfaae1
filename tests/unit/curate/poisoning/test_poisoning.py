"""Who contradicts all others is named, who does not is not, and no one can make up more than a share of a dataset."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from poisoned_rows import LEARN, curated, rows_with, unheard

from freehold.config.poisoning_settings import FeedbackTrust, Influence
from freehold.curate.poisoning.canaries import canaries, is_canary, learned
from freehold.curate.poisoning.claims import claims
from freehold.curate.poisoning.keys import benjamini_hochberg, judge_keys
from freehold.curate.poisoning.outliers import dissenters, outliers
from freehold.curate.poisoning.report import suspicions
from freehold.curate.samples import fold
from freehold.curate.steps.influence import cap_of
from freehold.domain.evidence import Sample


@pytest.mark.parametrize(("evil", "share"), [(("evil",), 0.05), (("evil", "foul"), 0.05), (("evil",), 0.2)])
def test_the_malicious_are_named_and_nobody_else(evil: tuple[str, ...], share: float) -> None:
    report = suspicions(rows_with(600, evil, share))
    assert set(report.named) == set(evil) and not report.unjudged
    worst = report.keys[0]
    assert worst.key in evil and worst.rate > 0.6 > 0.2 > worst.expected and worst.q_value < 1e-6


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_honest_keys_are_not_named(seed: int) -> None:
    report = suspicions(rows_with(500, seed=seed))
    assert report.named == [] and len(report.keys) == 20


def test_a_key_that_lies_now_and_then_is_named_once_there_is_enough_of_it() -> None:
    assert suspicions(rows_with(800, ("sly",), 0.15, wrong=0.4)).named == ["sly"]
    assert suspicions(rows_with(300, ("sly",), 0.02, wrong=0.4)).named == [], "six judgements say nothing"


def test_distrust_leaves_the_dataset_as_it_would_be_without_the_liar() -> None:
    rows = rows_with(600, ("evil",), 0.05)
    assert curated(rows, LEARN)["answer"].to_list() != rows["answer"].to_list()
    trusted = curated(rows, FeedbackTrust(), LEARN)
    assert trusted["answer"].to_list() == curated(unheard(rows, ["evil"]), LEARN)["answer"].to_list()
    assert trusted.height == rows.height, "rows stay"


def test_open_answers_are_not_held_against_a_list_of_values() -> None:
    rows = rows_with(200).with_columns(answer=pl.col("row") + " is unlike all others")
    report = suspicions(rows)
    assert "open" in report.unjudged and report.keys == []
    few = suspicions(rows_with(20))
    assert "too few" in few.unjudged


def test_alone_a_key_is_held_against_nobody() -> None:
    rows = rows_with(200).with_columns(key=pl.lit("only"))
    assert suspicions(rows).named == []
    assert curated(rows, Influence(), FeedbackTrust()).height == 200


def test_adjusted_p_values_are_those_of_the_procedure() -> None:
    import numpy as np

    given_ = np.array([0.01, 0.04, 0.03, 0.005])  # by hand: sorted ·4/1, ·4/2, ·4/3, ·4/4, then the least from behind
    assert benjamini_hochberg(given_).tolist() == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_keys_with_few_judgements_and_the_owners_own_are_not_tested() -> None:
    import numpy as np

    rows = rows_with(200).with_columns(key=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("few")).otherwise(None))
    claimed = claims(rows)
    assert judge_keys(claimed, np.ones(200, np.bool_)) == []


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 400), st.sampled_from([0.1, 0.2, 0.34, 0.5])
)
def test_no_value_keeps_more_than_its_share(counts: list[int], others: int, share: float) -> None:
    cap = cap_of(counts, others, share)
    if cap is None:
        feasible = (len(counts) + (others > 0)) * share >= 1.0
        assert not feasible or max(counts) <= share * (others + sum(counts)) + 1e-9
        return
    kept = [min(count, cap) for count in counts]
    assert max(kept) <= share * (others + sum(kept)) + 1.0, "but for rounding down"
    assert cap < max(counts)


def test_influence_takes_rows_by_lot_and_leaves_what_certifies() -> None:
    rows = rows_with(600, ("flood",), 0.6, wrong=0.0)
    certify = pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("certify")).otherwise(pl.lit("fit"))
    rows = rows.with_columns(part=certify)
    left = curated(rows, Influence(by=("key",)))
    assert left.filter(part="certify").height == 200
    training = left.filter(part="fit")
    assert 0.17 < (training["key"] == "flood").mean() <= 0.2  # type: ignore[operator]
    others = rows.filter(pl.col("part") == "fit", pl.col("key") != "flood").height
    assert training.filter(pl.col("key") != "flood").height == others, "nobody else loses a row"
    at = training.filter(key="flood")["at_ns"].to_list()
    assert min(at) < 150 and max(at) > 450, "neither the first nor the last"


def test_feedback_over_the_share_is_not_listened_to() -> None:
    rows = rows_with(600, ("loud",), 0.5).with_columns(
        score=pl.when((pl.col("key") == "loud") | (pl.col("at_ns") % 2 == 0)).then("score")
    )
    left = curated(rows, Influence(by=("key",), max_share=0.9))
    heard = left.filter(pl.col("score").is_not_null() | pl.col("label").is_not_null())
    assert left.height == 600 and (heard["key"] == "loud").mean() <= 0.2  # type: ignore[operator]


def test_what_stands_out_is_found() -> None:
    rows = rows_with(200)
    long, strange = "x" * 20_000, "zorg blip quux vlam"
    rows = rows.with_columns(
        prompt=pl.when(pl.col("at_ns") == 3).then(pl.lit(long)).otherwise("prompt"),
        answer=pl.when(pl.col("at_ns") == 5).then(pl.lit(strange)).otherwise("answer"),
    )
    found = {(item.row, item.why) for item in outliers(claims(rows))}
    assert ("tr_00000003", "prompt far from the usual length") in found
    assert ("tr_00000005", "answer unlike all others") in found
    assert len(found) <= 4


def test_a_lone_dissenter_among_equal_prompts_is_found() -> None:
    rows = rows_with(30).with_columns(
        prompt=pl.lit("Order 12 is late"), answer=pl.lit("yes"), score=pl.lit(1.0), label=pl.lit(None, pl.String)
    )
    rows = rows.with_columns(label=pl.when(pl.col("at_ns") == 7).then(pl.lit("no")))
    assert [at for at, _ in dissenters(claims(rows))] == [7]


def _sample(number: int, answer: str) -> Sample:
    return Sample(
        trace_id=f"tr_{number}", at_ns=number, prompt=f"prompt {number}", answer=answer, part="fit", terms="own",
        input_tokens=1, output_tokens=1, uniform=True,
    )  # fmt: skip


def test_canaries_are_secret_repeatable_and_told_by_who_has_learned_them() -> None:
    like = [_sample(number, ("yes", "no")[number % 2]) for number in range(50)]
    planted = canaries(b"s" * 32, "task_t", 20, like)
    assert planted == canaries(b"s" * 32, "task_t", 20, like) and all(map(is_canary, planted))
    assert not {item.prompt for item in planted} & {item.prompt for item in canaries(b"t" * 32, "task_t", 20, like)}
    assert {item.part for item in planted} == {"fit"} and not any(item.uniform for item in planted)
    assert len({fold(item.prompt) for item in planted}) == 20 and {item.answer for item in planted} == {"yes", "no"}
    known = {item.prompt: item.answer for item in planted}
    report = learned(planted, lambda prompt: known[prompt])
    assert report.learned and report.answered == 20
    assert not learned(planted, lambda prompt: "yes").learned and not learned([], lambda prompt: "yes").learned
    assert canaries(b"s" * 32, "task_t", 20, [_sample(1, "yes")]) == [], "one value tells nothing"
