"""A task moves to a ladder of models: fitted, laid, certified and promoted from what shadows recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from ladder_fixtures import CHEAP, INCUMBENT, MIDDLE, Question, Recorded, ladder_settings, questions

from freehold.curate import build_scored, load_outcomes
from freehold.domain.errors import EvidenceError, NotFound, RightsError
from freehold.domain.events import Job
from freehold.domain.scoring import ExactScorer, JudgeScorer, NumericScorer
from freehold.evaluate import verify_certificate
from freehold.loop import LADDER_STEPS, LadderMove, Loop, latest_laid, new_ladder, open_ladder
from freehold.promote import promote, roll_back
from freehold.signals.router import build_router
from freehold.store.artifacts import read_router


class _Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def _recorded(folder: Path, n: int, *, seed: int = 1, **options: Any) -> Recorded:
    settings = ladder_settings(folder, candidates=(CHEAP,), **options)
    candidates = msgspec.structs.replace(settings.candidates, signals=("prompt",))
    made = Recorded(msgspec.structs.replace(settings, candidates=candidates))
    for question in questions(seed, n):
        made.record(question, models=(CHEAP,))
    made.seal()
    return made


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    _recorded(folder, 900).close()
    return folder


@pytest.fixture
def desk(once: Path, tmp_path: Path) -> Iterator[Recorded]:
    """A data folder of which nothing was learned yet."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    settings = ladder_settings(tmp_path, candidates=(CHEAP,))
    candidates = msgspec.structs.replace(settings.candidates, signals=("prompt",))
    made = Recorded.at(msgspec.structs.replace(settings, candidates=candidates))
    yield made
    made.close()


def _move(desk: Recorded) -> LadderMove:
    job = open_ladder(desk.store, desk.task_id) or new_ladder(desk.store, desk.task_id)
    return LadderMove(desk.store, desk.settings, job)


def test_easy_requests_move_and_the_certificate_holds_to_the_last_byte(desk: Recorded) -> None:
    job = _move(desk).run()
    assert [step.name for step in job.steps] == list(LADDER_STEPS) and job.state == "done"
    entry = desk.store.control.current_policy().tasks[desk.task_id]
    assert entry.ladder is not None and [model.name for model in entry.ladder.models] == [CHEAP]
    assert entry.audit_rate == desk.settings.loop.probation_audit_rate
    certificate = desk.store.control.certificates.get(entry.ladder.certificate)
    assert certificate is not None and (certificate.risk, certificate.loss) == ("served", "disagreement")
    assert certificate.loss_upper <= 0.05 and 0.4 < certificate.coverage < 0.7
    done = verify_certificate(desk.store, certificate.certificate_id)
    assert all(check.passed for check in done.checks), done.checks
    router = build_router(*read_router(desk.store.data / entry.ladder.path, entry.ladder.sha256))
    unseen = [(q, router.predict(desk.task_id, q.prompt)) for q in questions(2, 2000)]
    moved = [q for q, seen in unseen if router.knows(seen) and router.next_rung(seen)]
    assert 0.4 < len(moved) / 2000 < 0.7
    assert np.mean([q.answers[CHEAP] != q.answers[INCUMBENT] for q in moved]) <= 0.05
    tensors = desk.store.data / entry.ladder.path / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    failed = {check.name for check in verify_certificate(desk.store, certificate.certificate_id).failed}
    assert failed == {f"router {entry.ladder.router}", "decisions"}


def test_a_ladder_is_rolled_back_and_its_certificate_does_not_come_back(desk: Recorded) -> None:
    job = _move(desk).run()
    certificate = job.steps[3].result["certificate"]
    policy = roll_back(desk.store, desk.settings, desk.task_id, "by hand", {}, 9 * 10**18)
    entry = policy.tasks[desk.task_id]
    assert entry.ladder is None and entry.rungs == ()
    task = desk.task
    assert (task.state, task.attempts, task.shadow_rows_at_attempt) == ("rolled_back", 1, 0)
    assert desk.store.control.events(1)[0].evidence == {"certificate": certificate, "ladder": [CHEAP]}
    with pytest.raises(EvidenceError, match="before"):
        promote(desk.store, desk.settings, certificate, 1)
    with pytest.raises(NotFound):
        roll_back(desk.store, desk.settings, desk.task_id, "again", {}, 1)
    with pytest.raises(EvidenceError, match="No request"):
        build_scored(desk.store, desk.settings, desk.task_id, None, 1)


def test_killed_at_every_step_it_is_carried_on(desk: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    record = LadderMove._recorded
    left = list(LADDER_STEPS)

    def die_once(move: LadderMove, step: Any) -> Job:
        if step.name in left:
            left.remove(step.name)
            raise _Killed
        return record(move, step)

    monkeypatch.setattr(LadderMove, "_recorded", die_once)
    for _ in LADDER_STEPS:
        with pytest.raises(_Killed):
            _move(desk).run()
        assert desk.store.control.policy_version() == 0, "nothing moves before the promotion is whole"
    job = _move(desk).run()
    assert [step.name for step in job.steps] == list(LADDER_STEPS) and job.state == "done"
    assert desk.task.attempts == 1 == len(desk.store.control.certificates.list())
    assert verify_certificate(desk.store, job.steps[3].result["certificate"]).holds


def test_cold_start_says_how_much_more_is_wanted_and_spends_nothing(tmp_path: Path) -> None:
    desk = _recorded(tmp_path, 60)
    job = _move(desk).run()
    view = latest_laid(desk.store, desk.task_id)
    assert job.state == "done" and view is not None and not view.promising and view.plan is None
    assert view.needed is not None and view.needed > 200
    assert desk.task.note == f"Nothing moves yet: 60 of about {view.needed} scored requests."
    assert desk.task.attempts == 0 and desk.store.control.certificates.list() == []
    desk.close()


def test_the_loop_looks_for_a_ladder_when_there_is_enough_and_again_when_there_is_more(tmp_path: Path) -> None:
    desk = _recorded(tmp_path, 150)
    loop = Loop(desk.store, desk.settings)
    loop.until_idle()
    assert desk.store.control.jobs.list() == [], "fewer than candidates.min_rows"
    for seed, n, jobs in ((2, 60, 1), (3, 20, 1), (4, 60, 2)):
        for question in questions(seed, n):
            desk.record(question, models=(CHEAP,))
        loop.until_idle()
        assert [job.kind for job in desk.store.control.jobs.list()] == ["ladder"] * jobs, (seed, n)
    desk.close()


def test_nothing_is_certified_that_is_no_better_than_guessing(tmp_path: Path) -> None:
    desk = _recorded(tmp_path, 10)
    for question in questions(5, 500, easy=1.0, skill=0.9):
        desk.record(question, models=(CHEAP,))
    desk.seal()
    job = LadderMove(desk.store, desk.settings, new_ladder(desk.store, desk.task_id), eager=True).run()
    assert desk.store.control.policy_version() == 0 and desk.store.control.certificates.list() == []
    results = {step.name: step.result for step in job.steps}
    assert not results["lay"]["promising"]
    assert "begin" not in results or (desk.task.attempts == 1 and "p = " in results["certify"]["reason"])
    desk.close()


def _one(number: int, right: bool = True) -> Question:
    return Question(
        f"Which city is number {number}?", {INCUMBENT: "Oslo", CHEAP: "Oslo" if right else "Rome", MIDDLE: "Oslo"}
    )


def test_which_requests_are_evidence_and_which_are_not(tmp_path: Path) -> None:
    desk = Recorded(ladder_settings(tmp_path))
    good = [desk.record(_one(number)).trace_id for number in range(200)]
    desk.record(_one(300), reason="pinned")
    desk.record(_one(301), asked="other")
    desk.record(_one(302), status=500, error="upstream_timeout: too slow")
    desk.record(_one(303), models=(CHEAP,))
    accepted = desk.record(_one(304), reason="accepted", answered_by=f"inc/{CHEAP}")
    audited = desk.record(_one(305, right=False), reason="accepted", answered_by=f"inc/{CHEAP}")
    desk.trace(_one(305), INCUMBENT, kind="audit", of=audited.trace_id, reason="")
    escalated = [desk.record(_one(n), reason="uncertain", audit_probability=0.2).trace_id for n in range(400, 600)]
    desk.seal()
    scored = build_scored(desk.store, desk.settings, desk.task_id, None, 10**18)
    outcomes, parts = load_outcomes(desk.store.data, scored.outcomes)
    kept = set(outcomes.prompt_ids)
    assert kept >= {*good, audited.trace_id} and accepted.trace_id not in kept
    assert outcomes.scores[outcomes.prompt_ids.index(audited.trace_id)].tolist() == [1.0, 0.0, 1.0]
    thinned = len(kept & set(escalated))
    assert 55 < thinned < 105, "0.2 of 0.5: two of five stay"
    assert scored.left_out == {
        "answered as pinned": 1,
        "another model": 1,
        "failed": 1,
        "a candidate gave no answer": 1,
        "accepted, and the incumbent was not asked": 1,
        "thinned to the rate of audits": 200 - thinned,
    }
    assert scored.models == (INCUMBENT, CHEAP, MIDDLE) and scored.upstreams == ("inc",) * 3
    assert outcomes.costs[0].tolist() == pytest.approx([42e-5, 2.1e-5, 12.6e-5])
    assert 0.45 < parts.count("certify") / len(parts) < 0.63
    again = build_scored(desk.store, desk.settings, desk.task_id, None, 10**18)
    assert again == scored, "the same traces give the same evidence"
    desk.close()


def test_what_a_candidate_says_that_cannot_be_scored_counts_as_lost(tmp_path: Path) -> None:
    desk = Recorded(ladder_settings(tmp_path), scorer=NumericScorer())
    for number in range(100):
        given = {CHEAP: "no number" if number % 2 else "4", MIDDLE: "4"}
        desk.record(Question(f"2 + 2, {number}", {INCUMBENT: "4.0" if number else "four", **given}))
    desk.seal()
    scored = build_scored(desk.store, desk.settings, desk.task_id, None, 10**18)
    outcomes, _ = load_outcomes(desk.store.data, scored.outcomes)
    assert scored.left_out == {"the incumbent's answer could not be scored": 1}
    assert outcomes.scores.mean(0).tolist() == pytest.approx([1.0, 49 / 99, 1.0])
    for number in range(30):
        desk.record(Question(f"2 + 3, {number}", {INCUMBENT: "five", CHEAP: "5", MIDDLE: "5"}))
    desk.seal()
    with pytest.raises(EvidenceError, match="31 of 130 answers"):
        build_scored(desk.store, desk.settings, desk.task_id, None, 10**18)
    desk.close()


def test_candidates_that_fail_or_have_no_price_or_few_answers_are_named(tmp_path: Path) -> None:
    settings = ladder_settings(tmp_path, candidates=(CHEAP, MIDDLE, "new", "free"))
    desk = Recorded(settings, scorer=ExactScorer())
    for number in range(50):
        trace = desk.record(_one(number), models=(CHEAP,))
        about: dict[str, Any] = {"kind": "shadow", "of": trace.trace_id, "reason": "", "audit_probability": 0.5}
        failed: dict[str, Any] = {"status": 503, "response": b"{}"} if number % 4 == 0 else {}
        desk.trace(_one(number), MIDDLE, **about, **failed)
        desk.trace(_one(number), "free", **about)
        if number < 10:
            desk.trace(_one(number), "new", **about)
    desk.seal()
    scored = build_scored(desk.store, settings, desk.task_id, None, 10**18)
    assert scored.models == (INCUMBENT, CHEAP) and scored.rows == 50
    assert scored.without == {
        MIDDLE: "13 of 50 calls to it failed",
        "new": "only 10 answers yet, of 50",
        "free": "its price is not known: set `prices` of its upstream",
    }
    desk.close()


def test_terms_that_are_not_known_and_judges_are_refused(tmp_path: Path) -> None:
    desk = Recorded(ladder_settings(tmp_path, terms="nobody-knows"))
    for number in range(20):
        desk.record(_one(number))
    desk.seal()
    with pytest.raises(RightsError, match="nobody-knows"):
        build_scored(desk.store, desk.settings, desk.task_id, None, 10**18)
    judged = msgspec.structs.replace(desk.task, scorer=JudgeScorer(model="m"))
    desk.store.control.tasks.put(judged)
    with pytest.raises(EvidenceError, match="A judge is believed after 50 pairs"):
        build_scored(desk.store, ladder_settings(tmp_path), desk.task_id, None, 10**18)
    desk.close()
