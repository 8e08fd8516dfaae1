"""The monitor measures what was certified: by its scorer, at any audit rate, over the requests it was certified for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from monitor_fixtures import BEGIN, DAY, SECOND, Watched, certificate

from freehold.domain.evidence import Certificate
from freehold.domain.scoring import JsonScorer, JudgeScorer, Scorer
from freehold.domain.traces import Feedback
from freehold.monitor import breached, unheard, watch
from freehold.monitor.bounds import Told, bounds, drift
from freehold.stats import ConfidenceSequence

NOW = BEGIN + 30 * DAY


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    made: list[Watched] = []

    def make(item: Certificate, **loop: Any) -> Watched:
        made.append(Watched(tmp_path / str(len(made)), item, **loop))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def scored(scorer: Scorer, **changes: Any) -> Certificate:
    """A certificate by a scorer, with a harm loss."""
    description = msgspec.json.encode(scorer, order="sorted").decode()
    return certificate("t", scorer=description, **{"loss": "harm", "test": "betting", **changes})


def test_one_rate_counts_every_audit_once_as_it_always_has(opened: Any) -> None:
    desk = opened(certificate("t"))
    wrong = np.random.default_rng(1).random(900) < 0.05
    desk.right_or_wrong("t", BEGIN, wrong, [0.2] * 900)
    monitor = watch(desk.store, desk.certificates["t"], NOW)
    expected = ConfidenceSequence(0.05)
    expected.update([1.0] * int(monitor.losses) + [0.0] * (monitor.audits - int(monitor.losses)))
    assert 130 < monitor.audits < 230 and monitor.requests == 900 and not monitor.weighted
    assert (monitor.lower, monitor.upper) == (expected.lower, expected.upper)


def test_more_audits_where_requests_are_hard_do_not_make_a_good_rung_look_bad(opened: Any) -> None:
    hard = np.arange(8_000) // 20 % 2 == 0
    wrong = np.random.default_rng(2).random(8_000) < np.where(hard, 0.10, 0.01)  # 5.5% over all, 8% allowed
    desk = opened(certificate("t"))
    desk.right_or_wrong("t", BEGIN, wrong, np.where(hard, 0.4, 0.04).tolist())
    monitor = watch(desk.store, desk.certificates["t"], NOW)
    plain = ConfidenceSequence(0.05)
    plain.update([1.0] * int(monitor.losses) + [0.0] * (monitor.audits - int(monitor.losses)))
    assert plain.lower > 0.075, "counted once each, audits alone would put it near the limit"
    assert monitor.weighted and monitor.lower < 0.055 < monitor.upper < 0.14
    assert monitor.estimate == pytest.approx(0.055, abs=0.012)
    assert breached(monitor) is None and monitor.drift_at is None


def test_fewer_audits_where_requests_are_hard_do_not_hide_harm(opened: Any) -> None:
    hard = np.arange(9_000) // 20 % 2 == 0
    wrong = np.random.default_rng(3).random(9_000) < np.where(hard, 0.4, 0.0)  # 20% over all
    desk = opened(certificate("t"))
    desk.right_or_wrong("t", BEGIN, wrong, np.where(hard, 0.02, 0.4).tolist())
    monitor = watch(desk.store, desk.certificates["t"], NOW)
    assert monitor.losses / monitor.audits < 0.04, "counted once each, audits alone would look good"
    assert monitor.lower > 0.08 and "audited answers differ" in (breached(monitor) or "")


def test_bounds_are_rarely_wrong_at_any_look_while_rates_follow_what_was_seen() -> None:
    rng, item, streams, looks = np.random.default_rng(4), certificate("t", delta=0.1), 110, (300, 1500)
    errors = 0
    for _ in range(streams):
        rates = np.where(rng.random(1500).cumsum() % 200 < 60, 0.5, 0.05)  # one rate now, another then
        hard = np.where(rates == 0.5, 0.12, 0.02)
        audited, wrong = rng.random(1500) < rates, (rng.random(1500) < hard).astype(float)
        for look in looks:
            seen, at = audited[:look], rates[:look]
            told = Told(
                wrong[:look][seen].tolist(),
                at[seen].tolist(),
                {},
                {float(rate): int((at == rate).sum()) for rate in set(at.tolist())},
            )
            found = bounds(item, told)
            if not found.lower <= hard[:look].mean() <= found.upper:
                errors += 1
                break
    assert errors / streams <= 0.1 + 3 * (0.1 * 0.9 / streams) ** 0.5


def test_the_change_detector_is_not_led_astray_by_rates_and_sees_a_rise_at_any() -> None:
    rng = np.random.default_rng(5)
    item = certificate("t")
    hard = np.arange(40_000) // 20 % 2 == 0
    rates = np.where(hard, 0.4, 0.1)
    audited = rng.random(40_000) < rates
    steady = (rng.random(40_000) < np.where(hard, 0.10, 0.02)).astype(float)
    assert drift(item, steady[audited].tolist(), rates[audited].tolist()) is None
    assert drift(item, steady[audited].tolist(), [0.4] * int(audited.sum())) is not None, "unweighted it alarms"
    risen = np.where(np.arange(40_000) < 20_000, steady, rng.random(40_000) < 0.3)
    before = int(audited[:20_000].sum())
    at = drift(item, risen[audited].tolist(), rates[audited].tolist())
    assert at is not None and before < at < before + 250


def test_what_audits_did_not_tell_neither_withdraws_nor_reassures(opened: Any) -> None:
    desk = opened(certificate("t"))
    for number in range(1200):
        failed = {"status": 503} if number % 3 == 0 else {"answered": number % 3 == 1}
        desk.serve("t", BEGIN + number * SECOND, "yes", "yes", 0.5 if number < 600 else 0.2, **failed)
    desk.seal()
    late = watch(desk.store, desk.certificates["t"], NOW)
    assert late.pending == 0 and late.missing == pytest.approx(2 * late.audits, rel=0.25)
    assert late.lower == 0.0 and late.upper > 0.6 and breached(late) is None
    assert "told nothing" in (unheard(late) or "")
    soon = msgspec.structs.replace(desk.certificates["t"], certificate_id="ce_0" + "0" * 30)
    assert watch(desk.store, soon, NOW).requests == 0, "another certificate's requests are none of its own"
    early = watch(desk.store, desk.certificates["t"], BEGIN + 1200 * SECOND)
    assert early.pending > 20 and early.missing + early.pending == late.missing


def test_over_all_traffic_escalated_requests_lose_nothing(opened: Any) -> None:
    rng = np.random.default_rng(6)
    for risk, expected in (("served", True), ("traffic", False)):
        desk = opened(certificate("t", risk=risk, epsilon=0.1, loss_upper=0.09))
        for number in range(3000):
            wrong = rng.random() < 0.3
            accepted = number % 4 == 0
            desk.serve("t", BEGIN + number * SECOND, "no" if wrong else "yes", "yes", 0.3, accepted=accepted)
        desk.serve("t", BEGIN + 4000 * SECOND, "", "yes", 0.3, accepted=False)
        desk.seal()
        monitor = watch(desk.store, desk.certificates["t"], NOW)
        assert (breached(monitor) is not None) == expected, risk
        assert monitor.requests == (750 if risk == "served" else 3001)
        assert monitor.estimate == pytest.approx(0.3 if risk == "served" else 0.075, abs=0.06)


def test_a_graded_loss_is_the_scorers_and_is_worked_out_once(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = opened(scored(JsonScorer(weights={"a": 3.0}), epsilon=0.2, loss_upper=0.15))
    answers = ['{"a":1,"b":2}', '{"a":1,"b":9}', '{"a":9,"b":2}', None]
    for number in range(40):
        desk.serve("t", BEGIN + number * SECOND, answers[number % 4], '{"a":1,"b":2}', 1.0)
    desk.seal()
    item = desk.certificates["t"]
    monitor = watch(desk.store, item, NOW)
    assert monitor.audits == 40 and monitor.losses == pytest.approx(10 * (0.25 + 0.75 + 1.0))
    assert monitor.unscored == 10 and monitor.estimate == pytest.approx(0.5)
    assert "lost 20 in all" in (breached(monitor) or "")
    path = desk.store.data / "audits" / f"{item.certificate_id}.jsonl"
    path.write_bytes(path.read_bytes()[:-9])  # as a crash may leave it
    desk.serve("t", BEGIN + 50 * SECOND, answers[0], '{"a":1,"b":2}', 1.0)
    desk.seal()
    calls: list[str] = []
    scores = import_module("freehold.monitor.scores")
    compared = scores.compare_async
    monkeypatch.setattr(scores, "compare_async", lambda *a: (calls.append(a[1]), compared(*a))[1])
    again = watch(desk.store, item, NOW)
    assert again.audits == 41 and again.losses == monitor.losses and len(calls) == 2, "the new one and the one cut off"


def test_gains_offset_losses_where_the_certificate_says_so(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = '{"kind":"regex","pattern":"^a"}'
    for loss, gone in (("signed", False), ("harm", True)):
        desk = opened(certificate("t", scorer=scorer, loss=loss, test="betting", risk="traffic"))
        for number in range(500):  # a rung is wrong in 30%, and so is the incumbent
            answer, reference = ("a", "b")[number % 10 < 3], ("a", "b")[3 <= number % 10 < 6]
            desk.serve("t", BEGIN + number * SECOND, answer, reference, 0.9 if number < 250 else 0.3)
        desk.seal()
        monkeypatch.setattr("freehold.monitor.scores.MOST", 10_000)
        monkeypatch.setattr("freehold.monitor.scores.SECONDS", 60.0)
        monitor = watch(desk.store, desk.certificates["t"], NOW)
        assert (breached(monitor) is not None) == gone, monitor
        assert monitor.lower <= (0.3 if gone else 0.0) <= monitor.upper


def test_a_judge_that_people_contradict_cannot_hold_a_certificate_up(opened: Any) -> None:
    async def tie(model: str, messages: list[dict[str, str]]) -> str:
        return '{"better": "tie"}'

    desk = opened(scored(JudgeScorer(model="j", minimum_pairs=20), loss="signed"))
    for number in range(30):
        desk.serve("t", BEGIN + number * SECOND, f"bad {number}", f"good {number}", 1.0)
    desk.seal()
    item = desk.certificates["t"]
    mute = watch(desk.store, item, NOW)
    assert mute.audits == 0 and mute.pending == 30 and "cannot be asked" in (unheard(mute) or "")
    judged = watch(desk.store, item, NOW, tie)
    assert (judged.audits, judged.losses, judged.pending) == (30, 0.0, 0) and breached(judged) is None
    ids = desk.store.traces.scan().select("trace_id", "kind").collect()
    with closing(desk.store.open_journal()) as journal:
        for number, (trace_id, kind) in enumerate(ids.iter_rows()):
            score = 1.0 if kind == "audit" else 0.0
            journal.append(Feedback(feedback_id=f"fb_{number:016x}", trace_id=trace_id, at_ns=NOW, score=score))
    desk.serve("t", BEGIN + 60 * SECOND, "bad", "good", 1.0)
    desk.seal()
    doubted = watch(desk.store, item, NOW, tie)
    assert "0 of 30 pairs" in doubted.disbelieved and "not to be believed" in (breached(doubted) or "")
