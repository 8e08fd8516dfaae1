"""Whether a certificate and the files it rests on are to the last byte what was signed. Computes no figure again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from freehold.domain.errors import CertificateError, EvidenceError, StoreError, StudentError
from freehold.domain.evidence import SHARED, Certificate, CertifiedRung, Check, signed_bytes
from freehold.store.artifacts import dataset_file_sha256, read_dataset, read_router, read_student
from freehold.store.evidence import read_evidence
from freehold.store.keys import verify

if TYPE_CHECKING:
    from freehold.store.store import Store

_CERTIFY_AGAIN = "Do not rely on it: `freehold rollback TASK`, and let the loop certify again."
_RESTORE = "Put it back from a backup, or `freehold rollback TASK` and let the loop certify again."


def seal_checks(store: Store, certificate: Certificate, public_key: str | None = None) -> list[Check]:
    """The checks, each done: record, signature, rungs, routers, evidence, dataset.

    `public_key`, 64 hex digits: whose signature it must be; None: this installation's own.
    """
    routers = {rung.signal: rung for rung in certificate.rungs if rung.routed}
    evidence = checked("evidence", lambda: _evidence(store, certificate))
    return [
        checked("record", lambda: _record(store, certificate)),
        checked("signature", lambda: _signature(store, certificate, public_key)),
        *(checked(f"rung {rung.name}", lambda rung=rung: _rung(store, rung)) for rung in certificate.rungs),
        *(checked(f"router {name}", lambda rung=rung: _router(store, rung)) for name, rung in routers.items()),
        evidence,
        checked("dataset", lambda: _dataset(store, certificate, with_file=evidence.passed is True)),
    ]


def checked(name: str, work: Callable[[], str]) -> Check:
    """A check made of `work`, which says in a sentence what it found in order, or raises with what it found wrong."""
    try:
        return Check(name=name, passed=True, sentence=work())
    except (EvidenceError, StoreError, StudentError) as error:
        return Check(name=name, passed=False, sentence=error.message, hint=error.hint)


def _record(store: Store, certificate: Certificate) -> str:
    if not store.control.certificates.intact(certificate.certificate_id):
        raise CertificateError(
            f"The control database's row of certificate {certificate.certificate_id} was changed.", _CERTIFY_AGAIN
        )
    return "The control database's row is as it was written."


def _signature(store: Store, certificate: Certificate, public_key: str | None) -> str:
    if public_key is None and not store.key_path.exists():
        raise CertificateError(
            f"The signing key {store.key_path} is gone, so nothing says whose signature it is.",
            "Put it back from a backup, or give the public key you trust with --key FILE.",
        )
    expected = public_key or store.keys.public_key()
    if certificate.public_key != expected:
        raise CertificateError(
            f"The signature of certificate {certificate.certificate_id} does not hold: it names the key "
            f"{certificate.public_key[:16]}…, not {expected[:16]}….",
            "It was issued elsewhere, or the key was changed: put the old key back, or certify again.",
        )
    if not verify(expected, signed_bytes(certificate), certificate.signature):
        raise CertificateError(
            f"The signature of certificate {certificate.certificate_id} does not hold: it was changed after it was "
            "issued.",
            _CERTIFY_AGAIN,
        )
    whose = "the key that was given" if public_key else "this installation's key"
    return f"Ed25519, by {whose}, {expected[:16]}…, over every field."


def _rung(store: Store, rung: CertifiedRung) -> str:
    if rung.kind == "model":
        return "A rented model: it is known by its name alone, and its provider can change what answers to it."
    student = store.control.students.get(rung.name)
    if student is None:
        raise CertificateError(f"Student {rung.name} is not stored.", _RESTORE)
    if student.sha256 != rung.sha256:
        raise CertificateError(f"It is for other files than student {rung.name} has.", "Train and certify again.")
    if store.control.students.digest(rung.name) != rung.record_sha256:
        raise CertificateError(f"The control database's record of student {rung.name} was changed.", _RESTORE)
    read_student(store.data / student.path, student.sha256)
    return f"The student's files have the SHA-256 {rung.sha256[:16]}… that was certified."


def _router(store: Store, rung: CertifiedRung) -> str:
    read_router(store.data / rung.signal_path, rung.signal_sha256)
    return f"The router's files have the SHA-256 {rung.signal_sha256[:16]}… that was certified."


def _evidence(store: Store, certificate: Certificate) -> str:
    evidence, rows = read_evidence(store.data / certificate.evidence_path, certificate.evidence_sha256)
    for name in SHARED:
        said, found = getattr(certificate, name), getattr(evidence, name)
        if said != found:
            raise CertificateError(f"The certificate's {name} is {said}, its evidence's {found}.", _CERTIFY_AGAIN)
    return f"{len(rows.ids)} rows and {len(evidence.path)} planned steps, SHA-256 {certificate.evidence_sha256[:16]}…."


def _dataset(store: Store, certificate: Certificate, *, with_file: bool) -> str:
    """`with_file`: the evidence can be read, which says what the bytes of the file and the record were."""
    dataset = store.control.datasets.get(certificate.dataset_id)
    if dataset is None:
        raise CertificateError(f"Dataset {certificate.dataset_id} is not stored.", _RESTORE)
    if dataset.sha256 != certificate.dataset_sha256:
        raise CertificateError(f"It rests on other rows than dataset {dataset.dataset_id} has.", _CERTIFY_AGAIN)
    if with_file:
        evidence, _ = read_evidence(store.data / certificate.evidence_path, certificate.evidence_sha256)
        if store.control.datasets.digest(dataset.dataset_id) != evidence.dataset_record_sha256:
            raise CertificateError(
                f"The control database's record of dataset {dataset.dataset_id} was changed.", _RESTORE
            )
        # Before it is read: a Parquet file with a changed bit can make its reader ask for more memory than there is.
        if dataset_file_sha256(store.data / dataset.path) != evidence.dataset_file_sha256:
            raise CertificateError(f"The file of dataset {dataset.dataset_id} was changed.", _RESTORE)
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    return f"{len(samples)} samples, SHA-256 {dataset.sha256[:16]}…, as certified on."
