"""A stored certificate in; out, a list of checks: is all of it what was signed, and does it follow from its evidence?

Nothing is believed but the signing key: files are hashed, the walk and every figure are computed again, and, where the
student and its dataset are there, so are the student's answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np

from freehold.domain.errors import CertificateError, NotFound
from freehold.domain.evidence import Certificate, Check, Evidence, Sample
from freehold.evaluate.certify import answered, certify_samples, choices
from freehold.evaluate.conclude import Figures, conclude
from freehold.evaluate.issue_ladder import DO_NOT_RELY, chooses_by_words, routed_again
from freehold.evaluate.losses import scorer_from
from freehold.signals.ladder import Step
from freehold.store.artifacts import read_dataset, read_router
from freehold.store.certificates import checked, seal_checks
from freehold.store.evidence import EvidenceRows, read_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.store import Store

SAME_FIGURE = 1e-12
"""Relative: figures computed again from the same evidence agree to the last bit, or to this on another processor."""
SAME_SIGNAL = 1e-6
"""A student sums in single precision, whose order differs between processors."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and all that was checked of it."""

    certificate: Certificate
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)


class _Again(NamedTuple):
    """What may be asked again."""

    deep: bool
    embedder: str


def verify_certificate(
    store: Store, certificate_id: str, *, public_key: str | None = None, deep: bool = True, embedder: str = ""
) -> Verification:
    """Check a stored certificate, and everything that it rests on.

    `public_key`, 64 hex digits: whose signature it must be; None: this installation's. `deep`: have students and
    routers answer and choose again; `embedder`: the folder of the one that routers look at, empty for none.

    Raises:
        NotFound: no such certificate.
        StoreError: the control database cannot be read, or what it holds under this id is no certificate.
    """
    certificate = store.control.certificates.get(certificate_id)
    if certificate is None:
        raise NotFound(f"There is no certificate {certificate_id}.", "`freehold certificate list` lists them.")
    checks = seal_checks(store, certificate, public_key)
    whole = {check.name for check in checks if check.passed}
    checks += _computed_again(store, certificate, whole, _Again(deep, embedder))
    checks.append(checked("attempt", lambda: _attempt(store, certificate)))
    return Verification(certificate=certificate, checks=tuple(checks))


def _computed_again(store: Store, certificate: Certificate, whole: set[str], again: _Again) -> list[Check]:
    """The checks that read the evidence, as far as what they need is `whole`."""
    if "evidence" not in whole:
        return [_not_done(name, "evidence") for name in ("rows", "decisions", "walk", "figures", "answers")]
    evidence, rows = read_evidence(store.data / certificate.evidence_path, certificate.evidence_sha256)
    figures = [
        checked("decisions", lambda: _decisions(store, certificate, evidence, rows)),
        checked("walk", lambda: _walk(certificate, evidence, rows)),
        checked("figures", lambda: _figures(certificate, evidence, rows)),
    ]
    if "dataset" not in whole:
        return [_not_done("rows", "dataset"), *figures, _not_done("answers", "dataset")]
    samples = _samples(store, certificate)
    same_rows = checked("rows", lambda: _rows(samples, rows))
    answers = (
        _answers(store, evidence, rows, samples, whole, again) if same_rows.passed else _not_done("answers", "rows")
    )
    return [same_rows, *figures, answers]


def figure_checks(certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> list[Check]:
    """Whether decisions, walk and figures follow from evidence at hand, which nothing but its hash need vouch for."""
    unrouted = "Not done: a router chooses, and it is not at hand."
    return [
        Check(name="decisions", passed=None, sentence=unrouted)
        if any(rung.routed for rung in evidence.rungs)
        else checked("decisions", lambda: _unrouted_decisions(evidence, rows)),
        checked("walk", lambda: _walk(certificate, evidence, rows)),
        checked("figures", lambda: _figures(certificate, evidence, rows)),
    ]


def _not_done(name: str, lacking: str) -> Check:
    return Check(name=name, passed=None, sentence=f"Not done, since the check of the {lacking} failed.")


def _samples(store: Store, certificate: Certificate) -> list[Sample]:
    dataset = store.control.datasets.get(certificate.dataset_id)
    assert dataset is not None  # the check of the dataset passed
    return certify_samples(read_dataset(store.data / dataset.path, dataset.sha256))


def _attempt(store: Store, certificate: Certificate) -> str:
    number = certificate.attempt
    others = [
        other.certificate_id
        for other in store.control.certificates.list(certificate.task)
        if other.attempt == number and other.certificate_id != certificate.certificate_id
    ]
    if others:
        raise CertificateError(
            f"Attempt {number} of task {certificate.task} was spent twice: {', '.join(others)} used it too.",
            DO_NOT_RELY,
        )
    task = store.control.tasks.get(certificate.task)
    if task is None or task.attempts < number:
        counted = "there is no such task" if task is None else f"{task.attempts} are counted"
        raise CertificateError(
            f"It is attempt {number} of task {certificate.task}, but {counted}: a count was lost.",
            "Put the control database back from a backup.",
        )
    return f"Attempt {number} of {task.attempts} of this task; no other certificate used its share of δ."


def _decisions(store: Store, certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> str:
    routed = [rung for rung in evidence.rungs if rung.routed]
    if routed:
        for rung in routed:
            manifest, _ = read_router(store.data / rung.signal_path, rung.signal_sha256)
            if _served_step(manifest) != certificate.thresholds:
                raise CertificateError(
                    f"The router {rung.signal} serves at another step than was certified.", DO_NOT_RELY
                )
        return f"The router serves at the certified step; it chose at each of {len(evidence.path)} steps as recorded."
    return _unrouted_decisions(evidence, rows)


def _unrouted_decisions(evidence: Evidence, rows: EvidenceRows) -> str:
    if rows.signals is None or not np.array_equal(choices(rows.signals, evidence.path), rows.choices):
        raise CertificateError(
            "Which rows a rung answers does not follow from the signals and thresholds.", DO_NOT_RELY
        )
    return f"Which rows a rung answers follows from its signals and thresholds at all {len(evidence.path)} steps."


def _served_step(manifest: dict[str, Any]) -> tuple[float, ...]:
    try:
        return msgspec.structs.astuple(msgspec.convert(manifest.get("step"), Step))
    except msgspec.ValidationError as error:
        raise CertificateError(f"The router's manifest names no step: {error}.", DO_NOT_RELY) from error


def _walk(certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> str:
    found = conclude(evidence, rows)
    _same("delta_spent", certificate.delta_spent, found.delta_spent)
    _same("tested", [_plain(step) for step in certificate.tested], [_plain(step) for step in found.tested])
    last = found.tested[-1]
    ended = "the planned end" if last.p_value <= found.delta_spent else "the first step that fails"
    return (
        f"{len(found.tested)} of {len(evidence.path)} steps by the {evidence.test} test at δ = {found.delta_spent:.3g} "
        f"to {ended}; every p-value came out the same."
    )


def _figures(certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> str:
    found = conclude(evidence, rows).figures
    if found is None:
        raise CertificateError("The evidence certifies nothing: its first step fails.", DO_NOT_RELY)
    _same("certify_rows", certificate.certify_rows, len(rows.ids))
    for name in Figures._fields:
        _same(name, getattr(certificate, name), getattr(found, name))
    return f"Thresholds, counts and bounds came out the same: loss ≤ {found.loss_upper:.2%} of {evidence.epsilon:.2%}."


def _rows(samples: list[Sample], rows: EvidenceRows) -> str:
    ids = [sample.trace_id for sample in samples]
    if ids != rows.ids:
        raise CertificateError(
            f"The evidence has {len(rows.ids)} rows, and they are not the dataset's {len(ids)} certify rows in order.",
            DO_NOT_RELY,
        )
    return f"All {len(ids)} certify rows of the dataset, in order, and no other."


def _answers(
    store: Store, evidence: Evidence, rows: EvidenceRows, samples: list[Sample], whole: set[str], again: _Again
) -> Check:
    """Whether each student gives the signals and losses of the evidence when it answers the certify rows again; or the
    router chooses the same rungs.

    Rented models are not asked again: their answers would be others, and cost.
    """
    routers = {f"router {rung.signal}" for rung in evidence.rungs if rung.routed}
    if again.deep and routers and routers <= whole and (again.embedder or chooses_by_words(store, evidence)):
        return checked("answers", lambda: routed_again(store, evidence, rows, samples, again.embedder))
    lacking = [rung.name for rung in evidence.rungs if rung.routed or f"rung {rung.name}" not in whole]
    if not again.deep or lacking or rows.signals is None:
        why = "it was not asked for" if not again.deep else f"{' and '.join(lacking)} cannot be asked again here"
        return Check(name="answers", passed=None, sentence=f"Not done: {why}.")
    return checked("answers", lambda: _answer_again(store, evidence, rows, samples))


def _answer_again(store: Store, evidence: Evidence, rows: EvidenceRows, samples: list[Sample]) -> str:
    assert rows.signals is not None
    scorer = scorer_from(evidence.scorer)
    for number, rung in enumerate(evidence.rungs):
        student = store.control.students.get(rung.name)
        assert student is not None  # the check of the rung passed
        signals, losses = answered(store, student, samples, rung.novelty_limit, scorer)
        other = (np.abs(signals - rows.signals[:, number]) > SAME_SIGNAL) | (losses != rows.losses[:, number])
        if other.any():
            first = rows.ids[int(np.argmax(other))]
            raise CertificateError(
                f"{rung.name} now answers {int(other.sum())} of {len(samples)} certify rows otherwise than in the "
                f"evidence, {first} the first of them.",
                DO_NOT_RELY,
            )
    return f"The students answered all {len(samples)} certify rows again, with the same signals and losses."


def _plain(step: msgspec.Struct) -> tuple[Any, ...]:
    return msgspec.structs.astuple(step)


def _same(name: str, said: Any, found: Any) -> None:
    """Raise CertificateError if two figures, or (nested) sequences of them, are not the same."""
    if not _agree(said, found):
        raise CertificateError(f"The certificate's {name} is {said}; computed again it is {found}.", DO_NOT_RELY)


def _agree(said: Any, found: Any) -> bool:
    if isinstance(said, tuple | list):
        pair = cast("tuple[Sequence[Any], Sequence[Any]]", (said, found))
        return len(pair[0]) == len(pair[1]) and all(map(_agree, *pair))
    return said == found or math.isclose(said, found, rel_tol=SAME_FIGURE, abs_tol=0.0)
