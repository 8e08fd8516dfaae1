"""Whatever is changed under a certificate, verifying it says so, says what, and says what to do."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from loop_fixtures import Desk

from freehold.domain.errors import CertificateError, EvidenceError, NotFound, StoreError
from freehold.domain.evidence import Certificate, CertifiedRung, Dataset, Evidence, Student, WalkStep, signed_bytes
from freehold.domain.ids import new_id
from freehold.domain.tasks import Task
from freehold.evaluate import Verification, conclude, issue, verify_certificate
from freehold.evaluate.certify import choices
from freehold.promote import promote
from freehold.stats import betting_p_value, spent_delta
from freehold.store import Store
from freehold.store.artifacts import write_student
from freehold.store.evidence import EvidenceRows, evidence_folder, read_evidence, write_evidence
from freehold.store.keys import SigningKey

DATABASE = "control.sqlite"


class Sealed(NamedTuple):
    """A copy of a data folder with one certificate in force, for one test to spoil."""

    data: Path
    certificate_id: str

    def open(self) -> Store:
        return Store.open(self.data, f"sqlite:///{self.data / DATABASE}")

    def certificate(self) -> Certificate:
        store = self.open()
        found = store.control.certificates.get(self.certificate_id)
        store.close()
        assert found is not None
        return found

    def verify(self, **options: Any) -> Verification:
        store = self.open()
        try:
            return verify_certificate(store, self.certificate_id, **options)
        finally:
            store.close()

    def sql(self, statement: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.data / DATABASE)) as connection, connection:
            connection.execute(statement, values)


@pytest.fixture
def sealed(owned_desk: Desk, tmp_path: Path) -> Sealed:
    assert owned_desk.rung is not None
    shutil.copytree(owned_desk.settings.data, tmp_path / "data")
    return Sealed(tmp_path / "data", owned_desk.rung.certificate)


def test_an_untouched_certificate_holds_and_everything_was_checked(sealed: Sealed) -> None:
    done = sealed.verify()
    assert done.holds and all(check.passed for check in done.checks), done.checks
    student = done.certificate.rungs[0].name
    assert [check.name for check in done.checks] == [
        "record", "signature", f"rung {student}", "evidence", "dataset",
        "rows", "decisions", "walk", "figures", "answers", "attempt",
    ]  # fmt: skip
    quick = sealed.verify(deep=False)
    assert quick.holds and [check.name for check in quick.checks if check.passed is None] == ["answers"]
    with pytest.raises(NotFound):
        verify_certificate(sealed.open(), "ce_00000000")


FILES = {
    "evidence/*/evidence.json": "evidence",
    "evidence/*/rows.parquet": "evidence",
    "datasets/*/samples.parquet": "dataset",
    "students/*/manifest.json": "rung",
    "students/*/tensors.safetensors": "rung",
}


@pytest.mark.parametrize(("pattern", "check"), FILES.items())
def test_one_changed_bit_anywhere_in_a_file_is_found(sealed: Sealed, pattern: str, check: str) -> None:
    certificate = sealed.certificate()
    [path] = [
        path
        for path in sealed.data.glob(pattern)
        if path.parent.name in (Path(certificate.evidence_path).name, certificate.dataset_sha256[:32])
        or path.parent.name in certificate.rungs[0].name
    ]
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        failed = sealed.verify().failed
        assert [found.name.split()[0] for found in failed] == [check], (place, failed)
        assert path.name in failed[0].sentence or "dataset" in failed[0].sentence
        assert failed[0].hint
    path.unlink()
    assert [found.name.split()[0] for found in sealed.verify().failed] == [check]
    path.write_bytes(whole)
    assert sealed.verify().holds


def test_every_changed_field_of_the_stored_certificate_is_found(sealed: Sealed) -> None:
    written = msgspec.json.encode(sealed.certificate()).decode()
    body, store = json.loads(written), sealed.open()
    others: dict[str, Any] = {"loss": "harm", "risk": "traffic", "test": "betting", "self_disagreement": 0.5}
    others |= {"tested": [], "rungs": [], "thresholds": [0.0], "assumptions": ["None."]}
    for name, value in body.items():
        if name == "certificate_id":
            continue
        if name not in others:
            others[name] = value + 1 if isinstance(value, int | float) else f"{value}x"
        sealed.sql("UPDATE certificates SET body = ?", json.dumps({**body, name: others[name]}))
        failed = {check.name for check in verify_certificate(store, sealed.certificate_id, deep=False).failed}
        assert "signature" in failed, name
    store.close()
    sealed.sql("UPDATE certificates SET body = ?", json.dumps(body))  # the same contents, other white space
    assert {check.name for check in sealed.verify(deep=False).failed} == {"record"}
    sealed.sql("UPDATE certificates SET body = ?", written)
    assert sealed.verify().holds
    sealed.sql("UPDATE certificates SET task = 'task_other'")
    assert "record" in {check.name for check in sealed.verify(deep=False).failed}
    sealed.sql("UPDATE certificates SET body = '{}'")
    with pytest.raises(StoreError, match=sealed.certificate_id):
        sealed.verify()


def test_a_changed_record_of_student_or_dataset_is_found(sealed: Sealed) -> None:
    certificate = sealed.certificate()
    store = sealed.open()
    student = store.control.students.get(certificate.rungs[0].name)
    dataset = store.control.datasets.get(certificate.dataset_id)
    store.close()
    assert student is not None and dataset is not None
    allowed = (msgspec.structs.replace(student.verdicts[0], reason="Says who?"),)
    for table, changed in (
        ("students", msgspec.structs.replace(student, verdicts=allowed)),
        ("datasets", msgspec.structs.replace(dataset, since_ns=dataset.since_ns + 1)),
    ):
        sealed.sql(
            f"UPDATE {table} SET body = ? WHERE id = ?", msgspec.json.encode(changed).decode(), record_id(changed)
        )
        [failed] = sealed.verify(deep=False).failed
        assert failed.name.startswith(table[:-1].replace("student", "rung")) and "record" in failed.sentence
        whole = student if table == "students" else dataset
        sealed.sql(f"UPDATE {table} SET body = ? WHERE id = ?", msgspec.json.encode(whole).decode(), record_id(whole))
    assert sealed.verify(deep=False).holds


def record_id(record: Student | Dataset) -> str:
    return record.student_id if isinstance(record, Student) else record.dataset_id


def test_a_changed_or_lost_key_is_found_and_a_trusted_one_can_be_given(sealed: Sealed) -> None:
    public = sealed.certificate().public_key
    path = sealed.data / "keys" / "signing.key"
    for text in ("00" * 32, "no key"):
        path.write_text(text)
        [failed] = sealed.verify(deep=False).failed
        assert failed.name == "signature" and failed.hint
    path.unlink()
    [failed] = sealed.verify(deep=False).failed
    assert "is gone" in failed.sentence and not path.exists(), "verifying makes no key"
    assert sealed.verify(public_key=public, deep=False).holds
    assert [check.name for check in sealed.verify(public_key="00" * 32, deep=False).failed] == ["signature"]


def _forge(
    sealed: Sealed, change: Callable[[Evidence, EvidenceRows], tuple[Evidence, EvidenceRows]], **claims: Any
) -> str:
    """A certificate on changed evidence, signed by the installation's own key: only computing again can tell."""
    store = sealed.open()
    good = sealed.certificate()
    evidence, rows = change(*read_evidence(store.data / good.evidence_path, good.evidence_sha256))
    sha256 = write_evidence(store.evidence_root, evidence, rows)
    folder = evidence_folder(store.evidence_root, sha256).relative_to(store.data).as_posix()
    forged = msgspec.structs.replace(good, evidence_sha256=sha256, evidence_path=folder, **claims)
    forged = msgspec.structs.replace(forged, signature=store.keys.sign(signed_bytes(forged)))
    store.close()
    sealed.sql("UPDATE certificates SET body = ?", msgspec.json.encode(forged).decode())
    return forged.certificate_id


def _without_losses(evidence: Evidence, rows: EvidenceRows) -> tuple[Evidence, EvidenceRows]:
    return evidence, rows._replace(losses=np.zeros_like(rows.losses))


def _without_the_last_rows(evidence: Evidence, rows: EvidenceRows) -> tuple[Evidence, EvidenceRows]:
    assert rows.signals is not None
    return evidence, EvidenceRows(
        rows.ids[:-9], rows.weights[:-9], rows.losses[:-9], rows.choices[:-9], rows.signals[:-9]
    )


def _choosing_otherwise(evidence: Evidence, rows: EvidenceRows) -> tuple[Evidence, EvidenceRows]:
    return evidence, rows._replace(choices=np.where(rows.losses[:, [0]] > 0, np.int8(-1), rows.choices))


def _unchanged(evidence: Evidence, rows: EvidenceRows) -> tuple[Evidence, EvidenceRows]:
    return evidence, rows


@pytest.mark.parametrize(
    ("change", "claims", "check"),
    [
        (_without_losses, {}, {"walk", "figures", "answers"}),
        (_without_the_last_rows, {}, {"rows", "walk", "figures"}),
        (_choosing_otherwise, {}, {"decisions", "walk", "figures"}),
        (_unchanged, {"p_value": 1e-9}, {"figures"}),
        (_unchanged, {"loss_upper": 0.0123}, {"figures"}),
        (_unchanged, {"delta_spent": 0.1}, {"walk"}),
        (_unchanged, {"tested": ()}, {"walk"}),
        (_unchanged, {"epsilon": 0.2}, {"evidence"}),
        (lambda e, r: (msgspec.structs.replace(e, attempt=7), r), {"attempt": 7}, {"walk", "attempt"}),
        (lambda e, r: (msgspec.structs.replace(e, epsilon=0.01), r), {"epsilon": 0.01}, {"walk", "figures"}),
    ],
)  # fmt: skip
def test_a_false_figure_is_found_even_if_it_is_signed(
    sealed: Sealed, change: Any, claims: dict[str, Any], check: set[str]
) -> None:
    _forge(sealed, change, **claims)
    failed = {found.name for found in sealed.verify().failed}
    assert check <= failed and "signature" not in failed and "record" not in failed, failed


def test_an_attempt_spent_twice_is_found_and_not_promoted_by_other_keys(sealed: Sealed, owned_desk: Desk) -> None:
    store = sealed.open()
    twin = msgspec.structs.replace(sealed.certificate(), certificate_id=new_id("ce"))
    store.control.certificates.put(msgspec.structs.replace(twin, signature=store.keys.sign(signed_bytes(twin))))
    [failed] = sealed.verify(deep=False).failed
    assert failed.name == "attempt" and twin.certificate_id in failed.sentence
    key = SigningKey(Ed25519PrivateKey.generate())
    stranger = msgspec.structs.replace(twin, certificate_id=new_id("ce"), public_key=key.public_key())
    stranger = msgspec.structs.replace(stranger, signature=key.sign(signed_bytes(stranger)))
    store.control.certificates.put(stranger)
    with pytest.raises(CertificateError, match="names the key"):
        promote(store, owned_desk.settings, stranger.certificate_id, 1)
    (sealed.data / sealed.certificate().evidence_path / "rows.parquet").unlink()
    with pytest.raises(CertificateError, match=r"rows\.parquet cannot be read"):
        promote(store, owned_desk.settings, sealed.certificate_id, 1)
    store.close()


LADDER = tuple(
    CertifiedRung(
        kind="model",
        name=name,
        sha256="",
        record_sha256="",
        signal="ro_1",
        signal_path="routers/ro_1",
        signal_sha256="",
        novelty_limit=1.0,
    )
    for name in ("inc/small", "inc/middle")
)


def _ladder(n: int, seed: int, **changes: Any) -> tuple[Evidence, EvidenceRows]:
    """Two rented models with graded losses, routed by two signals."""
    rng = np.random.default_rng(seed)
    signals = rng.random((n, 2))
    losses = np.clip(rng.beta(1, 30, (n, 2)) + (rng.random((n, 2)) > signals + 0.5) * 0.4, 0, 1)
    path = tuple((t, t / 2) for t in (0.8, 0.6, 0.4, 0.2))
    evidence = Evidence(
        task="task_ladder", dataset_id="ds_none", dataset_sha256="0" * 64, dataset_file_sha256="0" * 64,
        dataset_record_sha256="0" * 64,
        rungs=LADDER, path=path, loss="harm", scorer='{"kind":"text"}', risk="served", test="betting",
        epsilon=0.1, delta=0.05, attempt=2, self_disagreement=None, assumptions=("a",),
    )  # fmt: skip
    rows = EvidenceRows([f"tr_{i}" for i in range(n)], np.ones(n), losses, choices(signals, path), signals)
    return msgspec.structs.replace(evidence, **changes), rows


@pytest.mark.parametrize("risk", ["served", "traffic"])
def test_several_rungs_are_certified_jointly_on_the_loss_of_whichever_answers(risk: Any, sealed: Sealed) -> None:
    evidence, rows = _ladder(1500, 1, risk=risk)
    found = conclude(evidence, rows)
    level = spent_delta(0.05, 2)
    assert found.figures is not None and found.delta_spent == level
    signals = rows.signals
    assert signals is not None
    step = evidence.path.index(found.figures.thresholds)
    first = signals[:, 0] >= evidence.path[step][0]
    second = ~first & (signals[:, 1] >= evidence.path[step][1])
    loss = np.where(first, rows.losses[:, 0], np.where(second, rows.losses[:, 1], 0.0))
    kept = loss[first | second] if risk == "served" else loss
    assert found.figures.accepted == (first | second).sum() and found.figures.loss_estimate == pytest.approx(
        kept.mean()
    )
    assert found.figures.p_value == betting_p_value(kept, 0.1, delta=level)
    assert kept.mean() < found.figures.loss_upper <= 0.1
    assert found.figures.traffic_loss_upper <= found.figures.loss_upper
    store = sealed.open()
    store.control.tasks.put(Task(task_id="task_ladder", name="ladder", attempts=2))
    router = store.data / "routers" / "ro_1"
    sha256 = write_student(router, {"step": _step(found.figures.thresholds)}, {"weights": np.zeros(3)})
    rungs = tuple(msgspec.structs.replace(rung, signal_sha256=sha256) for rung in LADDER)
    evidence, rows = msgspec.structs.replace(evidence, rungs=rungs), rows._replace(signals=None)
    issued = issue(store, evidence, rows, 5)
    assert issued.certificate is not None and issue(store, evidence, rows, 9) == issued, "one look, one certificate"
    done = verify_certificate(store, issued.certificate)
    assert [check.name for check in done.failed] == ["dataset"], "there is none in this test"
    passed = {check.name for check in done.checks if check.passed}
    assert {"signature", "router ro_1", "evidence", "decisions", "walk", "figures", "attempt"} <= passed
    with pytest.raises(CertificateError, match="ds_none"):
        promote(store, None, issued.certificate, 1)  # type: ignore[arg-type]
    (router / "tensors.safetensors").write_bytes(b"changed")
    assert {check.name for check in verify_certificate(store, issued.certificate).failed} >= {"router ro_1"}
    shutil.rmtree(router)
    other = write_student(router, {"step": _step((0.1, 0.1))}, {"weights": np.zeros(3)})
    rungs = tuple(msgspec.structs.replace(rung, signal_sha256=other) for rung in LADDER)
    elsewhere = issue(store, msgspec.structs.replace(evidence, rungs=rungs), rows, 5).certificate
    failed = {check.name for check in verify_certificate(store, elsewhere or "").failed}
    assert failed == {"dataset", "decisions", "attempt"}, "it serves at another step, and an attempt was spent twice"
    store.close()


def test_signed_losses_are_tested_by_the_trinomial_and_gains_offset_harm() -> None:
    rng = np.random.default_rng(33)
    losses = rng.choice([-1.0, 0.0, 1.0], size=(1200, 2), p=[0.1, 0.8, 0.1])
    evidence, rows = _ladder(1200, 3, loss="signed", test="trinomial", epsilon=0.05)
    found = conclude(evidence, rows._replace(losses=losses))
    assert found.figures is not None and found.figures.loss_estimate < found.figures.loss_upper <= 0.05
    harm = msgspec.structs.replace(evidence, loss="harm", test="exact binomial")
    assert conclude(harm, rows._replace(losses=np.maximum(losses, 0.0))).figures is None


def _step(numbers: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(("price", "offset"), numbers, strict=True))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e, r: (e, r._replace(losses=np.where(r.losses > 0.5, np.nan, r.losses))),
        lambda e, r: (e, r._replace(losses=r.losses - 0.5)),
        lambda e, r: (e, r._replace(weights=r.weights * 2)),
        lambda e, r: (e, r._replace(choices=r.choices + 1)),
        lambda e, r: (e, r._replace(losses=r.losses[:, :1])),
        lambda e, r: (e, r._replace(ids=r.ids[:-1])),
        lambda e, r: (msgspec.structs.replace(e, path=()), r),
        lambda e, r: (msgspec.structs.replace(e, test="exact binomial"), r),
        lambda e, r: (e, EvidenceRows([], np.ones(0), np.ones((0, 2)), np.ones((0, 4), np.int8), None)),
    ],
)
def test_bad_evidence_is_an_error_and_never_a_conclusion(spoil: Any) -> None:
    with pytest.raises(EvidenceError):
        conclude(*spoil(*_ladder(300, 1)))


def test_evidence_comes_back_as_it_was_written(tmp_path: Path) -> None:
    evidence, rows = _ladder(50, 1)
    sha256 = write_evidence(tmp_path, evidence, rows)
    assert write_evidence(tmp_path, evidence, rows) == sha256
    again, found = read_evidence(evidence_folder(tmp_path, sha256), sha256)
    assert msgspec.structs.replace(again, files={}) == evidence and found.ids == rows.ids
    for written, read in zip(rows[1:], found[1:], strict=True):
        one, other = np.asarray(written), np.asarray(read)
        assert np.array_equal(one, other) and one.dtype == other.dtype
    assert conclude(again, found) == conclude(evidence, rows)
    assert isinstance(conclude(again, found).tested[0], WalkStep)
