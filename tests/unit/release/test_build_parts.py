"""The parts of a release by themselves: rows, training, evaluation."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from loop_fixtures import Desk, make_samples

from freehold.domain.errors import CertificateError
from freehold.domain.evidence import Certificate, Evidence, Sample, Student
from freehold.release.evaluation import certificate_of, evaluation_part
from freehold.release.inventory import CODE, LOCK, EvaluationSection
from freehold.release.parts import Part, Wanted
from freehold.release.training import training_part
from freehold.serving.gate import StudentAnswer
from freehold.store.artifacts import dataset_sha256, read_dataset, row_sha256s
from freehold.store.evidence import EvidenceRows, read_evidence

PAGE = (Path(__file__).parents[3] / "docs" / "release.md").read_text(encoding="utf-8")
WANTED = Wanted(student="st", out=Path("out"), name="x")


class Parts(NamedTuple):
    """What the evaluation part is made of."""

    desk: Desk
    student: Student
    certificate: Certificate
    samples: list[Sample]
    evidence: Evidence
    rows: EvidenceRows

    def made(self, **changes: Any) -> tuple[EvaluationSection, Part]:
        """The part, with other evidence."""
        assert self.desk.rung is not None
        student = self.desk.student(self.desk.rung)
        prompts = {sample.trace_id: sample.prompt for sample in self.samples}
        return evaluation_part(
            self.certificate,
            self.evidence,
            self.rows._replace(**changes),
            folder=self.desk.store.data / self.certificate.evidence_path,
            samples=self.samples,
            answers=[StudentAnswer(*student.answer(prompts[trace_id])) for trace_id in self.rows.ids],
            student=self.student,
            licence="",
        )


@pytest.fixture
def parts(owned_desk: Desk) -> Parts:
    store, rung = owned_desk.store, owned_desk.rung
    assert rung is not None
    student, certificate = store.control.students.get(rung.student), store.control.certificates.get(rung.certificate)
    assert student is not None
    assert certificate is not None
    dataset = store.control.datasets.get(student.dataset_id)
    assert dataset is not None
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    evidence, rows = read_evidence(store.data / certificate.evidence_path, certificate.evidence_sha256)
    return Parts(owned_desk, student, certificate, samples, evidence, rows)


def test_rows_are_hashed_as_the_page_says() -> None:
    named = re.search(r"in the order `([\w,\s]+)`", PAGE)
    assert named is not None
    fields = [name.strip() for name in named[1].split(",")]
    samples = make_samples([("one", "yes"), ("two é", "no"), ("three", "yes")])
    for changed in (samples, [*samples[:2], msgspec.structs.replace(samples[2], verdict="allow")]):
        kept = len(fields) if changed is not samples else len(fields) - 5
        kept -= changed is not samples  # `changed` is empty in all
        encoded = [msgspec.msgpack.encode([getattr(row, name) for name in fields[:kept]]) for row in changed]
        assert row_sha256s(changed) == [hashlib.sha256(row).hexdigest() for row in encoded]
        assert dataset_sha256(changed) == hashlib.sha256(b"".join(encoded)).hexdigest()
    assert row_sha256s([]) == []


def test_a_student_that_kept_no_record_says_that_it_is_unknown(parts: Parts) -> None:
    old = msgspec.structs.replace(parts.student, training=None)
    section, costs, part = training_part(old, {"seed": 0}, WANTED)
    assert (section.run, section.same_code) == (None, None)
    assert (costs.cpu_seconds, costs.kilowatt_hours, costs.dollars) == (None, None, None)
    assert LOCK not in part.files
    states = {item.role: item.state for item in part.items}
    assert (states["lock"], states["training-record"], states["training-code"]) == ("declared", "declared", "present")
    assert next(item.note for item in part.items if item.role == "lock").startswith("Unknown")


def test_code_that_was_changed_since_is_not_called_what_trained_it(parts: Parts) -> None:
    run = parts.student.training
    assert run is not None
    section, _, part = training_part(parts.student, {"seed": 0}, WANTED)
    assert section.same_code is True
    other = msgspec.structs.replace(run, code={**run.code, "train/students.py": "0" * 64})
    changed, _, later = training_part(msgspec.structs.replace(parts.student, training=other), {"seed": 0}, WANTED)
    assert changed.same_code is False
    assert {item.state for item in later.items if item.role == "training-code"} == {"present"}
    assert part.files[CODE] == later.files[CODE], "the same sources give the same bytes"
    data = part.files[CODE]
    assert isinstance(data, bytes)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    assert "freehold/train/classifier.py" in names
    assert "freehold/rights/texts/mit.txt" in names
    assert not any("__pycache__" in name for name in names)


def test_answers_and_losses_must_be_those_that_were_certified(parts: Parts) -> None:
    section, part = parts.made()
    assert section.items == len(parts.rows.ids)
    assert {item.state for item in part.items if item.role == "evaluation-results"} == {"verified"}
    losses = parts.rows.losses.copy()
    losses[3, 0] = 1 - losses[3, 0]
    with pytest.raises(CertificateError, match=rf"row {parts.rows.ids[3]} now has"):
        parts.made(losses=losses)
    assert parts.rows.signals is not None
    signals = parts.rows.signals.copy()
    signals[5, 0] = np.nextafter(signals[5, 0], 2)
    parts.made(signals=signals)
    signals[5, 0] += 1e-3
    with pytest.raises(CertificateError, match=rf"row {parts.rows.ids[5]} now has"):
        parts.made(signals=signals)


def test_the_newest_certificate_of_the_student_alone_is_taken(parts: Parts) -> None:
    own = parts.certificate
    newer = msgspec.structs.replace(own, certificate_id="ce_newer", issued_ns=own.issued_ns + 1)
    other = msgspec.structs.replace(own.rungs[0], name="st_other")
    ladder = msgspec.structs.replace(own, issued_ns=own.issued_ns + 2, rungs=(*own.rungs, other))
    stranger = msgspec.structs.replace(own, issued_ns=own.issued_ns + 3, rungs=(other,))
    elsewhere = msgspec.structs.replace(own, issued_ns=own.issued_ns + 4, dataset_id="ds_other")
    assert certificate_of([own, stranger, newer, ladder, elsewhere], parts.student) == newer
    with pytest.raises(CertificateError, match="no certificate of its own"):
        certificate_of([ladder, stranger, elsewhere], parts.student)
