"""The evaluation part of a release: the certificate, what its figures follow from, and each answer computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from freehold.domain.answers import disagreement
from freehold.domain.errors import CertificateError
from freehold.domain.evidence import Certificate, Evidence, LossName, Sample, Student
from freehold.domain.scoring import Scorer
from freehold.domain.statements import finding, statement
from freehold.release.inventory import (
    CERTIFICATE,
    EVIDENCE,
    EVIDENCE_OUTCOMES,
    EVIDENCE_ROWS,
    ITEMS,
    TOLERANCE,
    TOLERANCES,
    EvaluatedItem,
    EvaluationSection,
    Tolerance,
    canonical_json,
)
from freehold.release.layout import Content, Copied
from freehold.release.parts import Part, item
from freehold.scorers import Context, compare
from freehold.serving.gate import StudentAnswer
from freehold.store.artifacts import row_sha256s
from freehold.store.evidence import MANIFEST, OUTCOMES, ROWS, EvidenceRows

_TOO_NOVEL = -1.0
"""The signal that evidence has where the text was too novel to be answered."""
_FILES = {MANIFEST: EVIDENCE, ROWS: EVIDENCE_ROWS, OUTCOMES: EVIDENCE_OUTCOMES}


def certificate_of(certificates: Sequence[Certificate], student: Student) -> Certificate:
    """The newest certificate that is about this student alone, on its own dataset.

    Raises:
        CertificateError: there is none.
    """
    own = [
        certificate
        for certificate in certificates
        if certificate.dataset_id == student.dataset_id
        and [(rung.name, rung.sha256, rung.routed) for rung in certificate.rungs]
        == [(student.student_id, student.sha256, False)]
    ]
    if not own:
        raise CertificateError(
            f"Student {student.student_id} has no certificate of its own, which a release is to carry.",
            f"Certify it: `freehold certify {student.task}`. One of a ladder is about all its models together.",
        )
    return max(own, key=lambda certificate: certificate.issued_ns)


def evaluation_part(
    certificate: Certificate,
    evidence: Evidence,
    rows: EvidenceRows,
    *,
    folder: Path,
    samples: list[Sample],
    answers: Sequence[StudentAnswer],
    student: Student,
    licence: str,
    computed_on: Mapping[str, str] | None = None,
) -> tuple[EvaluationSection, Part]:
    """Section and files; the student's answer to every certify row is scored again.

    Args:
        certificate: of this student alone, found intact.
        evidence, rows: what it follows from.
        folder: of its evidence.
        samples: of the dataset, in order.
        answers: the student's, given again, in the order of `rows`.
        student: its record.
        licence: under which the results are given.
        computed_on: what a generative student's answers depend on here.

    Raises:
        CertificateError: an answer is not the one that was certified.
    """
    tolerance = TOLERANCES[student.kind]
    items = _items(certificate, rows, samples, answers, tolerance)
    files: dict[str, Content] = {CERTIFICATE: canonical_json(certificate)}
    told = [item(CERTIFICATE, "certificate", "verified", licence, "Signature and evidence were checked.")]
    for name, digest in {MANIFEST: certificate.evidence_sha256, **evidence.files}.items():
        files[_FILES[name]] = Copied(folder / name, digest)
        told.append(item(_FILES[name], "evidence", "verified", licence, "Its hash is in the certificate's chain."))
    files[ITEMS] = b"".join(canonical_json(each) + b"\n" for each in items)
    files[TOLERANCE] = canonical_json(tolerance)
    note = "Computed again from the weights: signals and losses are those that were certified."
    told += [
        item(ITEMS, "evaluation-results", "verified", licence, note),
        item(TOLERANCE, "tolerance", "present", licence),
    ]
    return _section(certificate, student, len(items), computed_on or {}), Part(files, tuple(told))


def _items(
    certificate: Certificate,
    rows: EvidenceRows,
    samples: list[Sample],
    answers: Sequence[StudentAnswer],
    tolerance: Tolerance,
) -> list[EvaluatedItem]:
    places = places_of(samples)
    hashes = row_sha256s(samples)
    scorer = msgspec.json.decode(certificate.scorer, type=Scorer) if certificate.scorer else None
    limit = certificate.rungs[0].novelty_limit
    items: list[EvaluatedItem] = []
    for number, (trace_id, answer) in enumerate(zip(rows.ids, answers, strict=True)):
        place = places[trace_id]
        loss = _loss(certificate.loss, scorer, answer.text, samples[place])
        seen = answer.signal if answer.novelty <= limit else _TOO_NOVEL
        certified = float(rows.signals[number, 0]) if rows.signals is not None else seen
        if not abs(seen - certified) <= tolerance.signal or loss != rows.losses[number, 0]:
            raise CertificateError(
                f"Student and certificate {certificate.certificate_id} do not fit: row {trace_id} now has the signal "
                f"{seen} and the loss {loss}, but {certified} and {rows.losses[number, 0]} were certified.",
                "Certify the student again on this machine, and release it then.",
            )
        items.append(
            EvaluatedItem(
                row=place,
                sha256=hashes[place],
                output=answer.text,
                signal=answer.signal,
                novelty=answer.novelty,
                loss=loss,
            )
        )
    return items


def places_of(samples: Sequence[Sample]) -> dict[str, int]:
    """Trace id → place in the dataset."""
    return {sample.trace_id: place for place, sample in enumerate(samples)}


def _loss(name: LossName, scorer: Scorer | None, output: str, sample: Sample) -> float:
    if scorer is None:
        return disagreement(output, sample.answer)
    compared = compare(scorer, output, sample.answer, Context(prompt=sample.prompt))
    return compared.signed if name == "signed" else compared.harm


def _section(
    certificate: Certificate, student: Student, items: int, computed_on: Mapping[str, str]
) -> EvaluationSection:
    return EvaluationSection(
        certificate_id=certificate.certificate_id,
        statement=statement(certificate),
        finding=finding(certificate),
        loss=certificate.loss,
        risk=certificate.risk,
        test=certificate.test,
        epsilon=certificate.epsilon,
        delta_spent=certificate.delta_spent,
        thresholds=certificate.thresholds,
        rungs=certificate.rungs,
        certify_rows=certificate.certify_rows,
        accepted=certificate.accepted,
        loss_estimate=certificate.loss_estimate,
        loss_upper=certificate.loss_upper,
        coverage=certificate.coverage,
        assumptions=certificate.assumptions,
        public_key=certificate.public_key,
        issued_ns=certificate.issued_ns,
        items=items,
        metrics=student.metrics,
        tolerance=TOLERANCES[student.kind],
        computed_on=dict(computed_on),
    )
