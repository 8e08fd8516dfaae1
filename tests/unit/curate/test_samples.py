"""Which exchanges become samples, why others do not, and which of them may certify."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from loop_fixtures import Desk, chat, completion, incumbent_trace, urgency

from freehold.config import UpstreamSettings
from freehold.curate import build_dataset
from freehold.curate.answers import AnswerRights
from freehold.curate.samples import collect_samples
from freehold.domain.errors import EvidenceError, RightsError
from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.rights import TrainingJudge
from freehold.store.artifacts import read_dataset
from freehold.store.traces.rows import trace_frame

TODAY = datetime.date(2026, 11, 21)
TERMS = {"inc": "own", "odd": "nobody-knows"}


def _frame(traces: list[Trace]) -> pl.DataFrame:
    derive = Deriver({"inc": UpstreamSettings(base_url="http://127.0.0.1:1/v1")})
    return trace_frame(traces, [derive(trace) for trace in traces]).sort("at_ns", maintain_order=True)


def _collect(traces: list[Trace]) -> Any:
    rights = AnswerRights(TERMS, TrainingJudge("train_classifier", (), TODAY))
    return *collect_samples(_frame(traces), rights), rights.verdicts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"owned": True, "answered_by": "student/st_1"}, "answered by a student"),
        ({"status": 500}, "failed"),
        ({"status": 0}, "failed"),
        ({"error": "upstream_timeout: gone"}, "failed"),
        ({"truncated": True}, "recorded in part"),
        ({"answer": None}, "no text in the answer"),
        ({"finish": "length"}, "not finished (length)"),
        ({"finish": "tool_calls"}, "not finished (tool_calls)"),
        ({"finish": ""}, "not finished (broken off)"),
        ({"model": "another"}, "another model"),
        ({"reason": "unsupported"}, "served as unsupported"),
        ({"reason": "student-failed"}, "served as student-failed"),
        ({"answered_by": "odd/gpt"}, "rights: deny (nobody-knows)"),
        ({"answered_by": "not-configured/gpt"}, "rights: deny (unknown)"),
        ({"request": b"not json"}, "not plain text"),
        ({"request": chat("x", tools=[{"type": "function"}])}, "not plain text"),
        ({"request": chat("x", n=2)}, "not plain text"),
        ({"request": chat("x", logprobs=True)}, "not plain text"),
    ],
)
def test_every_reason_to_leave_a_trace_out(changes: dict[str, Any], reason: str) -> None:
    normal = [incumbent_trace(n, f"message {n}", "yes") for n in range(5)]
    text = changes.pop("answer", "yes")
    response = completion(text, changes.pop("finish", "stop"))
    odd = msgspec.structs.replace(incumbent_trace(99, "odd message", "yes", response=response), **changes)
    samples, left_out, _ = _collect([*normal, odd])
    assert len(samples) == 5 and dict(left_out) == {reason: 1}


def test_a_request_with_an_image_is_left_out() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}]
    odd = incumbent_trace(9, "", "yes", request=chat("x").replace(b'"x"', str(parts).replace("'", '"').encode()))
    samples, left_out, _ = _collect([incumbent_trace(1, "m", "yes"), odd])
    assert len(samples) == 1 and left_out == {"not plain text": 1}


def test_unselected_traffic_is_uniform_and_split_by_its_prompt() -> None:
    traces = [incumbent_trace(n, f"message {n}", "yes", reason=reason) for n in range(600) for reason in ("no-rung",)]
    samples, left_out, [verdict] = _collect(traces)
    assert not left_out and verdict.permits and all(sample.uniform for sample in samples)
    shares = {part: sum(s.part == part for s in samples) / 600 for part in ("fit", "tune", "certify")}
    assert shares["fit"] == pytest.approx(0.6, abs=0.06)
    assert shares["tune"] == pytest.approx(0.1, abs=0.04)
    assert shares["certify"] == pytest.approx(0.3, abs=0.06)
    again, _, _ = _collect(traces[::-1])
    assert {s.prompt: s.part for s in again} == {s.prompt: s.part for s in samples}


def test_equal_prompts_share_one_part_whatever_their_case_spacing_and_reason() -> None:
    spellings = ("Where is IT {}", "where  is it {}", " where is it {}\n")
    reasons = ("no-rung", "uncertain", "policy-stale")
    traces = [
        incumbent_trace(100 * n + i, spelling.format(n), "yes", reason=reason, audit_probability=0.3)
        for n in range(80)
        for i, (spelling, reason) in enumerate(zip(spellings, reasons, strict=True))
    ]
    samples, _, _ = _collect(traces)
    parts: dict[str, set[str]] = {}
    for sample in samples:
        parts.setdefault(" ".join(sample.prompt.casefold().split()), set()).add(sample.part)
    assert len(parts) == 80 and all(len(found) == 1 for found in parts.values())
    assert set.union(*parts.values()) == {"fit", "tune", "certify"}


def test_escalated_requests_are_thinned_to_the_audit_rate_and_audits_are_kept() -> None:
    escalated = [
        incumbent_trace(n, f"hard {n}", "yes", reason=("novel", "uncertain")[n % 2], audit_probability=0.2)
        for n in range(1000)
    ]
    audits = [incumbent_trace(5000 + n, f"easy {n}", "yes", kind="audit", of="tr_0", reason="") for n in range(50)]
    samples, left_out, _ = _collect([*escalated, *audits])
    assert not left_out
    hard = [sample for sample in samples if sample.prompt.startswith("hard")]
    assert sum(sample.uniform for sample in hard) == pytest.approx(200, abs=40)
    assert all((sample.part == "certify") == sample.uniform for sample in hard), "uniform rows are scarce: all certify"
    assert all(sample.uniform and sample.part == "certify" for sample in samples if sample.prompt.startswith("easy"))
    by_id = {
        trace.trace_id: int.from_bytes(hashlib.sha256(trace.trace_id.encode()).digest()[:8], "big")
        for trace in escalated
    }
    assert all(sample.uniform == (by_id[sample.trace_id] / 2**64 < 0.2) for sample in hard), "a pure function of the id"


def test_pinned_requests_train_but_never_certify() -> None:
    samples, left_out, _ = _collect([incumbent_trace(n, f"m {n}", "yes", reason="pinned") for n in range(100)])
    assert not any(sample.uniform or sample.part == "certify" for sample in samples)
    assert len(samples) + left_out["escalated, and its prompt certifies"] == 100


def test_what_escalates_again_never_reaches_the_certify_part_by_its_prompt() -> None:
    first = [incumbent_trace(n, f"m {n}", "yes") for n in range(200)]
    again = [incumbent_trace(1000 + n, f"m {n}", "no", reason="uncertain") for n in range(200)]
    samples, left_out, _ = _collect([*first, *again])
    certify = [sample for sample in samples if sample.part == "certify"]
    assert all(sample.answer == "yes" for sample in certify)
    assert left_out == {"escalated, and its prompt certifies": len(certify)}


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    desk = Desk(tmp_path, min_samples=100)
    yield desk
    desk.close()


def test_a_dataset_is_named_by_its_content_and_says_what_it_left_out(desk: Desk) -> None:
    desk.send(urgency(2, 150))
    desk.append(incumbent_trace(9999, "broken", "yes", status=500))
    desk.loop.turn()
    first = build_dataset(desk.store, desk.settings, desk.task_id, 10**18)
    assert build_dataset(desk.store, desk.settings, desk.task_id, 2 * 10**18) == first
    assert first.rows == 150 and first.left_out == {"failed": 1} and sum(first.parts.values()) == 150
    assert all(verdict.permits for verdict in first.verdicts) and first.form.kind == "label"
    rows = read_dataset(desk.store.data / first.path, first.sha256)
    assert (first.since_ns, first.until_ns) == (rows[0].at_ns, rows[-1].at_ns)
    desk.send([("one more", "yes")])
    desk.loop.turn()
    assert build_dataset(desk.store, desk.settings, desk.task_id, 10**18).dataset_id != first.dataset_id


def test_too_little_or_open_evidence_makes_no_dataset(desk: Desk) -> None:
    desk.send(urgency(2, 60))
    desk.loop.turn()
    with pytest.raises(EvidenceError, match=r"60 usable answers of 100 wanted"):
        build_dataset(desk.store, desk.settings, desk.task_id, 10**18)
    desk.send([(f"question {n}", f"free answer number {n}") for n in range(60)])
    desk.loop.turn()
    with pytest.raises(EvidenceError, match="nothing can score"):
        build_dataset(desk.store, desk.settings, desk.task_id, 10**18)


def test_unknown_terms_block_the_task_with_a_note_that_says_what_to_do(tmp_path: Path) -> None:
    desk = Desk(tmp_path, terms="somebody-else", min_samples=100)
    desk.send(urgency(2, 150))
    desk.loop.until_idle()
    [task] = desk.store.control.tasks.list()
    assert task.state == "blocked" and "somebody-else" in task.note and "not legal advice" in task.note
    assert not desk.store.control.datasets.list() and not desk.store.control.students.list()
    assert len(desk.events("rights-blocked")) == 1
    with pytest.raises(RightsError):
        build_dataset(desk.store, desk.settings, desk.task_id, 10**18)
    desk.close()


@pytest.mark.parametrize(
    ("noted", "configured", "terms", "permitted"),
    [
        ("unknown", "own", "own", True),
        ("", "own", "own", True),
        ("nobody-knows", "own", "own", True),
        ("openai-api@2025-12-01", None, "openai-api", True),
        ("openai-api@2025-12-01", "own", "openai-api", True),
        ("own", "openai-api", "openai-api", True),
        ("own", "google-consumer", "google-consumer", False),
        ("google-consumer@2025-11-04", "own", "google-consumer", False),
        ("unknown", None, "unknown", False),
        ("unknown", "nobody-knows", "nobody-knows", False),
    ],
)
def test_of_terms_noted_and_configured_the_stricter_count(
    noted: str, configured: str | None, terms: str, permitted: bool
) -> None:
    terms_of = {} if configured is None else {"inc": configured}
    rights = AnswerRights(terms_of, TrainingJudge("train_classifier", (), TODAY))
    row = {"trace_id": "tr_1", "answered_by": "inc/gpt", "terms": noted}
    found, verdict = rights.verdict(row)
    assert (found, verdict.permits) == (terms, permitted)
    assert bool(rights.why_not(row)) is not permitted
    denied = rights.denied(3, TODAY)
    assert [(one.terms, one.rows, one.share) for one in denied] == ([] if permitted else [(terms, 1, 0.25)])
