"""Two students beside the incumbent: intervals that hold, slices that contradict the mean, and what may choose."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError
from freehold.domain.evaluations import Costs
from freehold.domain.evidence import Sample
from freehold.domain.scoring import FeedbackScorer, JsonScorer
from freehold.evaluate.comparison import Said, compare, is_exact, rows_of, worst
from freehold.stats import paired_interval

HOUR = 3600 * 10**9


def sample(number: int, prompt: str = "p", answer: str = "yes", part: str = "tune", at_ns: int | None = None) -> Sample:
    return Sample(
        trace_id=f"tr_{number:028x}",
        at_ns=number + 1 if at_ns is None else at_ns,
        prompt=prompt,
        answer=answer,
        part=part,  # type: ignore[arg-type]
        terms="own",
        input_tokens=1,
        output_tokens=1,
        uniform=True,
    )


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("worse", "better", "n"), [(0.5, 0.1, 12), (0.05, 0.02, 60), (0.0, 0.03, 40), (0.3, 0.3, 150)])
def test_intervals_of_differences_cover(exact: bool, worse: float, better: float, n: int) -> None:
    random = np.random.default_rng(5)
    missed = 0
    for _ in range(40):
        drawn = random.choice([-1.0, 0.0, 1.0], p=[worse, 1 - worse - better, better], size=n)
        lower, upper = paired_interval(drawn, exact=exact)
        assert -1.0 <= lower <= drawn.mean() <= upper <= 1.0
        missed += not lower <= better - worse <= upper
    assert missed <= 6  # at 5%, more than 6 of 40 has probability 0.003


def test_intervals_of_graded_differences_cover() -> None:
    random = np.random.default_rng(6)
    missed = 0
    for _ in range(40):
        drawn = random.beta(2, 2, size=50) * random.choice([-1, 1], p=[0.7, 0.3], size=50)
        lower, upper = paired_interval(drawn)
        missed += not lower <= -0.2 <= upper
    assert missed <= 6


def test_no_difference_seen_is_not_no_difference() -> None:
    lower, upper = paired_interval([0.0] * 30, exact=True)
    assert lower < -0.05 and upper > 0.05
    assert paired_interval([]) == paired_interval([], exact=True) == (-1.0, 1.0)
    with pytest.raises(EvidenceError):
        paired_interval([0.5], exact=True)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40))
def test_swapping_who_is_compared_mirrors_the_interval(values: list[float]) -> None:
    lower, upper = paired_interval(values, exact=True)
    mirrored = paired_interval([-value for value in values], exact=True)
    assert (lower, upper) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-9)


def tickets(n: int = 600) -> list[Sample]:
    """JSON answers; one request in eight is of high priority."""
    random = Random(3)
    made: list[Sample] = []
    for number in range(n):
        answer = {"priority": "high" if number % 8 == 0 else "low", "order": f"A-{number}"}
        prompt = "word " * random.randint(3, 60) + f"order A-{number}"
        made.append(sample(number, prompt, json.dumps(answer), at_ns=number * HOUR))
    return made


def answered(samples: list[Sample], wrong: Any) -> list[Said]:
    """The incumbent's answers, but with a wrong order where `wrong` says so."""
    return [
        Said(one.answer.replace("A-", "B-") if wrong(number, one) else one.answer) for number, one in enumerate(samples)
    ]


def test_a_slice_that_contradicts_the_mean_is_named() -> None:
    samples = tickets()
    before = answered(samples, lambda number, one: number % 5 == 0 and '"low"' in one.answer)
    after = answered(samples, lambda number, one: '"high"' in one.answer and number % 3)
    keys = {one.trace_id: "key_a" if number % 2 else "key_b" for number, one in enumerate(samples)}
    rows = rows_of(samples, None, after, before, keys)
    found = compare(rows, exact=is_exact(None), in_force="st_old", costs=Costs(incumbent_dollars=0.001))
    assert found.part == "tune" and found.may_choose and found.confidence == 0.95 and found.unscored == 0
    everything = found.overall
    assert everything.rows == 600 and everything.incumbent == 1.0 and everything.in_force is not None
    assert everything.against_in_force is not None and everything.against_in_force.mean > 0
    assert not everything.against_in_force.flagged and everything.against_incumbent.flagged
    assert [one.name for one in found.against_the_trend if one.by == "value"] == ['priority = "high"']
    kinds = [one.by for one in found.slices]
    assert kinds.count("length") == kinds.count("time") == 3 and kinds.count("value") == kinds.count("key") == 2
    for by in ("length", "value", "time", "key"):
        assert sum(one.rows for one in found.slices if one.by == by) == 600
    assert next(one.name for one in found.slices if one.by == "time") == "1 Jan 1970 – 9 Jan 1970"


def test_small_slices_say_so_and_one_of_a_kind_is_no_slice() -> None:
    samples = [sample(number, "same length", "yes" if number else "no") for number in range(40)]
    found = compare(rows_of(samples, None, [Said("yes")] * 40), exact=True)
    by_value = {one.name: one for one in found.slices if one.by == "value"}
    assert by_value["no"].small and by_value["no"].rows == 1 and not by_value["yes"].small
    assert by_value["no"].against_incumbent.mean == -1.0 and not by_value["no"].against_incumbent.flagged
    assert not [one for one in found.slices if one.by in ("length", "key")]
    assert found.overall.in_force is None and found.overall.against_in_force is None


def test_graded_scores_and_what_cannot_be_scored() -> None:
    samples = tickets(40)
    said = answered(samples, lambda number, one: number < 10)
    said[39] = Said("no JSON at all")
    scorer = JsonScorer()
    found = compare(rows_of(samples, scorer, said), exact=is_exact(scorer))
    assert not is_exact(scorer)
    assert found.overall.candidate == pytest.approx((29 + 10 * 0.5) / 40)
    with pytest.raises(EvidenceError, match="feedback"):
        rows_of(samples, FeedbackScorer(), said)
    with pytest.raises(EvidenceError, match="cannot be compared"):
        rows_of(samples, None, said[:-1])


def test_certify_rows_choose_nothing() -> None:
    certify = [sample(number, part="certify") for number in range(3)]
    rows = rows_of(certify, None, [Said("yes")] * 3)
    with pytest.raises(EvidenceError, match="before a certificate rests on them"):
        compare(rows, exact=True)
    assert not compare(rows, exact=True, certificate="ce_1").may_choose
    mixed = rows_of([certify[0], sample(9)], None, [Said("yes")] * 2)
    fit = rows_of([sample(1, part="fit")], None, [Said("yes")])
    half = [rows[0], rows[1]._replace(in_force=Said("no"))]
    for wrong in ([], mixed, fit, half):
        with pytest.raises(EvidenceError):
            compare(wrong, exact=True, certificate="ce_1")


def test_worst_examples_are_few_short_redacted_and_the_served_ones_first() -> None:
    samples = [sample(number, "secret " + "x" * 5000) for number in range(50)]
    after = [Said("no", taken=number != 0) if number < 30 else Said("yes") for number in range(50)]
    before = [Said("yes" if number == 7 else "no") for number in range(50)]
    rows = rows_of(samples, None, after, before)
    shown = worst(rows, most=30, redact=lambda text: text.replace("secret", "[gone]"))
    assert len(shown) == 30 and shown[0].row == samples[7].trace_id and shown[-1].row == samples[0].trace_id
    assert shown[0].in_force == "yes" and shown[0].in_force_score == 1.0 and shown[0].candidate_score == 0.0
    assert not shown[-1].taken and shown[0].why == "It differs from the incumbent's answer."
    assert all(one.prompt.startswith("[gone]") and len(one.prompt) == 2000 for one in shown)
    assert len(worst(rows)) == 20 and worst(rows_of(samples, None, [Said("yes")] * 50)) == []
