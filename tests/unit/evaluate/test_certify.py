"""Certificates: what they rest on, what they say, what they cost, and what makes them worthless."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from loop_fixtures import SYSTEM, Desk, chat, incumbent_trace, make_samples, urgency
from scipy.stats import beta, binom

from freehold.domain.answers import disagreement
from freehold.domain.errors import CertificateError, EvidenceError, NotFound, RightsError
from freehold.domain.evidence import Certificate, Dataset, Sample, Student, Verdict, signed_bytes
from freehold.domain.ids import new_id
from freehold.domain.scoring import ExactScorer, FeedbackScorer, JudgeScorer, Scorer, TextScorer, kind_of
from freehold.domain.tasks import AnswerForm, Field, Task
from freehold.evaluate import begin_attempt, certify, outlook, verify_certificate
from freehold.promote import promote
from freehold.stats import spent_delta
from freehold.store import Store
from freehold.store.artifacts import dataset_sha256, read_dataset, write_dataset
from freehold.store.keys import SigningKey, verify
from freehold.train import train_student

ALLOWED = Verdict(action="train_classifier", outcome="allow", subject="own", reason="ours")
YES_NO = AnswerForm(kind="label", fields=(Field(path=(), values=("no", "yes")),))


def put_dataset(store: Store, samples: list[Sample], task: str = "task_x") -> Dataset:
    """Store samples as a dataset."""
    sha256 = dataset_sha256(samples)
    write_dataset(store.datasets_root / sha256[:32], samples)
    dataset = Dataset(
        dataset_id=f"ds_{sha256[:32]}",
        task=task,
        path=f"{store.datasets_root.name}/{sha256[:32]}",
        sha256=sha256,
        rows=len(samples),
        parts={},
        left_out={},
        verdicts=(ALLOWED,),
        form=YES_NO,
        since_ns=1,
        until_ns=len(samples),
        created_ns=1,
    )
    store.control.datasets.put(dataset)
    return dataset


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    desk = Desk(tmp_path, epsilon=0.1, delta=0.1)
    desk.store.control.tasks.put(Task(task_id="task_x", name="x", epsilon=0.1, delta=0.1))
    yield desk
    desk.close()


@pytest.fixture
def store(owned_desk: Desk, tmp_path: Path) -> Any:
    """A copy of the owned desk's store, to put other certificates in."""
    shutil.copytree(owned_desk.settings.data, tmp_path / "copy")
    store = Store.open(tmp_path / "copy", f"sqlite:///{tmp_path / 'copy' / 'control.sqlite'}")
    yield store
    store.close()


def test_training_never_reads_a_certify_row(desk: Desk) -> None:
    samples = make_samples(urgency(1, 240))
    poison = [
        msgspec.structs.replace(s, prompt="poison " * 9, answer="NEITHER", input_tokens=10**6, output_tokens=10**6)
        if s.part == "certify"
        else s
        for s in samples
    ]
    found: list[bytes] = []
    for rows in (samples, poison):
        student = train_student(desk.store, desk.settings, put_dataset(desk.store, rows).dataset_id, 1)
        found.append((desk.store.data / student.path / "tensors.safetensors").read_bytes())
        manifest = msgspec.json.decode((desk.store.data / student.path / "manifest.json").read_bytes())
        found.append(repr([(k, v) for k, v in manifest.items() if not k.startswith("dataset")]).encode())
    assert found[:2] == found[2:]


def test_certifying_never_reads_a_fit_or_tune_row(desk: Desk) -> None:
    samples = make_samples(urgency(1, 600))
    student = train_student(desk.store, desk.settings, put_dataset(desk.store, samples).dataset_id, 1)
    view = outlook(desk.store, student.student_id)
    clean = certify(desk.store, view, 1, 1)
    poison = [s if s.part == "certify" else msgspec.structs.replace(s, prompt="p", answer="x") for s in samples]
    moved = msgspec.structs.replace(
        student, student_id="st_poisoned", dataset_id=put_dataset(desk.store, poison).dataset_id
    )
    desk.store.control.students.put(moved)
    again = certify(desk.store, msgspec.structs.replace(view, student="st_poisoned"), 1, 1)
    assert clean.certificate and again.certificate and again.tested == clean.tested
    unfair = [msgspec.structs.replace(s, uniform=s.part != "certify") for s in samples]
    selected = msgspec.structs.replace(
        student, student_id="st_selected", dataset_id=put_dataset(desk.store, unfair).dataset_id
    )
    desk.store.control.students.put(selected)
    refused = certify(desk.store, msgspec.structs.replace(view, student="st_selected"), 1, 1)
    assert refused.certificate is None and "0 certify rows" in refused.reason


def test_a_bad_student_gets_no_certificate(desk: Desk) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (f"message about {rng.integers(50)} and {rng.integers(50)}", str(rng.choice(["yes", "no"]))) for _ in range(600)
    ]
    student = train_student(desk.store, desk.settings, put_dataset(desk.store, make_samples(rows)).dataset_id, 1)
    view = outlook(desk.store, student.student_id)
    assert view.chance < 0.2 and view.agreement < 0.7
    for thresholds in (view.thresholds, (0.9, 0.5, 0.0)):
        attempt = certify(desk.store, msgspec.structs.replace(view, thresholds=thresholds), 1, 1)
        assert attempt.certificate is None and attempt.reason
    assert not desk.store.control.certificates.list()


def test_every_figure_of_a_certificate_can_be_computed_again(owned_desk: Desk) -> None:
    store = owned_desk.store
    rung = owned_desk.rung
    assert rung is not None
    certificate = store.control.certificates.get(rung.certificate)
    assert certificate is not None
    dataset = store.control.datasets.get(certificate.dataset_id)
    student = owned_desk.student(rung)
    assert dataset is not None
    rows = [s for s in read_dataset(store.data / dataset.path, dataset.sha256) if s.part == "certify" and s.uniform]
    answers = [student.answer(row.prompt) for row in rows]
    losses = [disagreement(a.text, row.answer) for a, row in zip(answers, rows, strict=True)]
    taken = [
        loss
        for a, loss in zip(answers, losses, strict=True)
        if a.signal >= certificate.thresholds[0] and a.novelty <= certificate.rungs[0].novelty_limit
    ]
    accepted, errors = len(taken), int(sum(taken))
    level = spent_delta(0.1, 1)
    assert (certificate.certify_rows, certificate.accepted, certificate.loss_sum) == (len(rows), accepted, errors)
    assert (certificate.attempt, certificate.delta_spent) == (1, level)
    assert certificate.p_value == pytest.approx(binom.cdf(errors, accepted, 0.1)) and certificate.p_value <= level
    assert certificate.loss_upper == pytest.approx(beta.ppf(1 - level, errors + 1, accepted - errors))
    assert certificate.loss_estimate == errors / accepted and certificate.coverage == accepted / len(rows)
    assert certificate.traffic_loss_upper == pytest.approx(beta.ppf(1 - level, errors + 1, len(rows) - errors))
    assert certificate.loss_upper <= certificate.epsilon == 0.1
    thresholds = [step.thresholds for step in certificate.tested]
    assert thresholds == sorted(thresholds, reverse=True) and certificate.thresholds in thresholds
    assert all(step.p_value <= level for step in certificate.tested if step.thresholds >= certificate.thresholds)
    assert verify(store.keys.public_key(), signed_bytes(certificate), certificate.signature)


def test_attempts_spend_delta_and_a_late_one_cannot_buy_what_an_early_one_could(desk: Desk) -> None:
    samples = make_samples(urgency(1, 600))
    student = train_student(desk.store, desk.settings, put_dataset(desk.store, samples).dataset_id, 1)
    view = outlook(desk.store, student.student_id)
    numbers = [begin_attempt(desk.store, view) for _ in range(3)]
    task = desk.store.control.tasks.get("task_x")
    assert numbers == [1, 2, 3] and task is not None and task.attempts == 3
    assert outlook(desk.store, student.student_id).delta_spent == spent_delta(0.1, 4)
    certificates = [certify(desk.store, view, number, 1) for number in (1, 2)]
    issued = [desk.store.control.certificates.get(attempt.certificate or "") for attempt in certificates]
    assert [c and c.delta_spent for c in issued] == [spent_delta(0.1, 1), spent_delta(0.1, 2)]
    first, second = issued
    assert first and second and second.thresholds >= first.thresholds
    assert certify(desk.store, view, 1, 999) == certificates[0], "the same attempt again is the same look"
    assert certify(desk.store, view, 10**9, 1).certificate is None
    with pytest.raises(EvidenceError, match="no task"):
        begin_attempt(desk.store, msgspec.structs.replace(view, task="task_gone"))


@pytest.mark.parametrize(
    ("scorer", "test"), [(ExactScorer(fold_case=True), "exact binomial"), (TextScorer(measure="chrf"), "betting")]
)
def test_with_a_scorer_the_loss_is_the_harm_that_it_finds(desk: Desk, scorer: Scorer, test: str) -> None:
    # The incumbent shouts half of its answers: a student cannot know when, and by the exact scorer need not.
    rows = [
        (prompt, answer.upper() if number % 2 else answer) for number, (prompt, answer) in enumerate(urgency(1, 600))
    ]
    desk.store.control.tasks.put(Task(task_id="task_x", name="x", epsilon=0.8, delta=0.1, scorer=scorer))
    student = train_student(desk.store, desk.settings, put_dataset(desk.store, make_samples(rows)).dataset_id, 1)
    view = msgspec.structs.replace(outlook(desk.store, student.student_id), thresholds=(0.0,))
    done = certify(desk.store, view, begin_attempt(desk.store, view), 1)
    certificate = desk.store.control.certificates.get(done.certificate or "")
    assert certificate is not None and (certificate.loss, certificate.test) == ("harm", test)
    assert json.loads(certificate.scorer)["kind"] == kind_of(scorer) and "scorer" in certificate.assumptions[1]
    differing = len([row for row in rows if row[1].isupper()]) / len(rows)
    if test == "betting":
        assert 0.2 < certificate.loss_estimate < certificate.loss_upper <= 0.8
    else:
        assert certificate.loss_estimate < 0.1 < differing
    changed = Task(task_id="task_x", name="x", epsilon=0.8, delta=0.1, attempts=1)  # verified by the scorer of then
    desk.store.control.tasks.put(changed)
    done_again = verify_certificate(desk.store, certificate.certificate_id)
    assert all(check.passed for check in done_again.checks), done_again.failed


def test_what_only_people_can_score_spends_no_attempt(desk: Desk) -> None:
    student = train_student(
        desk.store, desk.settings, put_dataset(desk.store, make_samples(urgency(1, 240))).dataset_id, 1
    )
    view = outlook(desk.store, student.student_id)
    for scorer in (FeedbackScorer(), JudgeScorer(model="m")):
        desk.store.control.tasks.put(Task(task_id="task_x", name="x", scorer=scorer))
        with pytest.raises(EvidenceError, match="nobody has seen them"):
            begin_attempt(desk.store, view)
        task = desk.store.control.tasks.get("task_x")
        assert task is not None and task.attempts == 0


Tamper = Callable[[Certificate], Certificate]


def _signed_by_a_stranger(certificate: Certificate) -> Certificate:
    key = SigningKey(Ed25519PrivateKey.generate())
    unsigned = msgspec.structs.replace(certificate, public_key=key.public_key())
    return msgspec.structs.replace(unsigned, signature=key.sign(signed_bytes(unsigned)))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda c: msgspec.structs.replace(c, thresholds=(0.0,)),
        lambda c: msgspec.structs.replace(c, epsilon=0.5),
        lambda c: msgspec.structs.replace(c, loss_upper=c.loss_upper / 2),
        lambda c: msgspec.structs.replace(c, rungs=(msgspec.structs.replace(c.rungs[0], novelty_limit=1.0),)),
        lambda c: msgspec.structs.replace(c, signature=""),
        lambda c: msgspec.structs.replace(c, signature="zz"),
        _signed_by_a_stranger,
    ],
)
def test_a_certificate_that_was_changed_is_refused(owned_desk: Desk, store: Store, tamper: Tamper) -> None:
    before = store.control.current_policy()
    good = owned_desk.rung and store.control.certificates.get(owned_desk.rung.certificate)
    assert good is not None
    changed = tamper(msgspec.structs.replace(good, certificate_id=new_id("ce")))
    store.control.certificates.put(changed)
    with pytest.raises(CertificateError, match=r"signature .* does not hold"):
        promote(store, owned_desk.settings, changed.certificate_id, 1)
    assert store.control.current_policy() == before


def _reissued(store: Store, certificate: Certificate, **changes: Any) -> Certificate:
    """A certificate with other contents, signed with the installation's own key."""
    fresh = msgspec.structs.replace(certificate, certificate_id=new_id("ce"), **changes)
    fresh = msgspec.structs.replace(fresh, signature=store.keys.sign(signed_bytes(fresh)))
    store.control.certificates.put(fresh)
    return fresh


def test_a_certificate_for_other_files_a_denied_student_or_none_is_refused(owned_desk: Desk, store: Store) -> None:
    before = store.control.current_policy()
    good = owned_desk.rung and store.control.certificates.get(owned_desk.rung.certificate)
    student = good and store.control.students.get(good.rungs[0].name)
    assert good is not None and student is not None
    for change, said in (
        ({"rungs": (msgspec.structs.replace(good.rungs[0], sha256="0" * 64),)}, "other files"),
        ({"evidence_sha256": "0" * 64}, "not the file that was written"),
        ({"dataset_sha256": "0" * 64}, "dataset_sha256"),
        ({"epsilon": 0.2}, "epsilon is 0.2, its evidence's 0.1"),
    ):
        with pytest.raises(CertificateError, match=said):
            promote(store, owned_desk.settings, _reissued(store, good, **change).certificate_id, 1)
    denied: Student = msgspec.structs.replace(
        student, student_id="st_denied", verdicts=(msgspec.structs.replace(ALLOWED, outcome="deny"),)
    )
    store.control.students.put(denied)
    issued = certify(store, outlook(store, "st_denied"), 1, 1)
    assert issued.certificate is not None
    with pytest.raises(RightsError, match="st_denied"):
        promote(store, owned_desk.settings, issued.certificate, 1)
    with pytest.raises(NotFound):
        promote(store, owned_desk.settings, "ce_00000000", 1)
    assert store.control.current_policy() == before


def test_an_incumbent_that_differs_from_itself_by_more_than_epsilon_is_not_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path, epsilon=0.1, delta=0.1, min_samples=300)
    rows = urgency(1, 420)
    desk.send(rows)
    for number in range(60):
        first = incumbent_trace(number, *rows[number])
        said = rows[number][1] if number % 3 else {"yes": "no", "no": "yes"}[rows[number][1]]
        again = incumbent_trace(10_000 + number, "", said, request=chat(rows[number][0], SYSTEM))
        desk.append(msgspec.structs.replace(again, kind="repeat", of=first.trace_id, reason=""))
    desk.loop.until_idle()
    [task] = desk.store.control.tasks.list()
    assert task.state == "learning" and task.attempts == 0
    assert "differs from itself in 33.3%" in task.note and "not tried" in task.note
    assert not desk.store.control.certificates.list()
    [student] = desk.store.control.students.list()
    view = outlook(desk.store, student.student_id)
    assert view.floor == pytest.approx(1 / 3) and view.floor_pairs == 60 and not view.above_floor
    desk.close()
