"""Level 1: the student answers again, and the certificate's figures follow from what it lost."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from freehold.domain.errors import ReleaseError
from freehold.domain.evidence import SHARED, Certificate, Check, Sample, signed_bytes
from freehold.release.inventory import ITEMS, TOLERANCE, EvaluatedItem, EvaluationSection, Tolerance
from freehold.release.verify.released import Released
from freehold.release.verify.report import Missing, checked
from freehold.release.verify.workshop import Workshop
from freehold.store.artifacts import row_sha256s
from freehold.store.keys import verify

TOO_NOVEL = -1.0
"""The signal that evidence has of a text that was too novel to be answered."""
FEW = 0.02
"""Share of a language model's outputs of which a sum that another processor rounds otherwise may make others: a choice
between two tokens that are as good as equal. More are never explained by that."""
_TOLD = tuple(name for name in EvaluationSection.__struct_fields__ if name in Certificate.__struct_fields__)
_DO_NOT_RELY = "Do not rely on this release: ask whoever signed it."


def evaluation_checks(released: Released, workshop: Workshop, key: str) -> Iterator[Check]:
    """The checks of level 1, each done when it is asked for; `key`: whose signature the release has."""
    yield checked("certificate", lambda: _certificate(released, key))
    yield checked("tolerance", lambda: _tolerance(released, workshop))
    yield checked("items", lambda: _items(released))
    yield from workshop.figures(released.certificate, *released.evidence)
    yield checked("answers", lambda: _answers(released, workshop))


def _certificate(released: Released, key: str) -> str:
    certificate, inventory = released.certificate, released.inventory
    if not verify(certificate.public_key, signed_bytes(certificate), certificate.signature):
        raise ReleaseError(f"The signature of certificate {certificate.certificate_id} does not hold.", _DO_NOT_RELY)
    rungs = [(rung.kind, rung.sha256, rung.routed) for rung in certificate.rungs]
    if rungs != [("student", inventory.weights.sha256, False)]:
        raise ReleaseError(
            f"Certificate {certificate.certificate_id} is not of the student in this release.", _DO_NOT_RELY
        )
    if certificate.dataset_sha256 != inventory.data.sha256:
        raise ReleaseError("The certificate rests on another dataset than the release tells of.", _DO_NOT_RELY)
    for name in _TOLD:
        if getattr(certificate, name) != getattr(inventory.evaluation, name):
            raise ReleaseError(f"The inventory tells another {name} than the certificate.", _DO_NOT_RELY)
    evidence, _ = released.evidence
    for name in SHARED:
        if getattr(certificate, name) != getattr(evidence, name):
            raise ReleaseError(f"The certificate's {name} is not its evidence's.", _DO_NOT_RELY)
    same = certificate.public_key == key
    whose = "the key that was given" if same else f"{certificate.public_key[:16]}…, whom the release's signer names"
    return f"{certificate.certificate_id}, of this student and dataset, signed by {whose}; its evidence is whole."


def _tolerance(released: Released, workshop: Workshop) -> str:
    stated: Tolerance = released.sealed.decode(TOLERANCE, Tolerance)
    if stated != released.inventory.evaluation.tolerance:
        raise ReleaseError(f"{TOLERANCE} states another tolerance than the inventory.", _DO_NOT_RELY)
    for name in Tolerance.__struct_fields__:
        said, most = getattr(stated, name), getattr(workshop.tolerance, name)
        if not 0 <= said <= most:
            raise ReleaseError(
                f"The release allows a {name} to be off by {said:g}; of such a student at most {most:g} may be.",
                _DO_NOT_RELY,
            )
    return f"Outputs equal; off by at most: loss {stated.loss:g}, signal {stated.signal:g}, novelty {stated.novelty:g}."


def _items(released: Released) -> str:
    """That per-item outputs and scores are of the evidence's rows, in order, with its signals and losses."""
    evidence, rows = released.evidence
    items, hashes = released.items, released.row_hashes
    tolerance, limit = released.inventory.evaluation.tolerance, evidence.rungs[0].novelty_limit
    if len(items) != len(rows.ids) or len(items) != released.inventory.evaluation.items or rows.signals is None:
        raise ReleaseError(f"{ITEMS} has {len(items)} lines; the evidence has {len(rows.ids)} rows.", _DO_NOT_RELY)
    for number, item in enumerate(items):
        where = f"{ITEMS}, line {number + 1}"
        if not 0 <= item.row < len(hashes) or hashes[item.row] != item.sha256:
            raise ReleaseError(f"{where}: row {item.row} of the dataset has another hash.", _DO_NOT_RELY)
        loss, signal = float(rows.losses[number, 0]), float(rows.signals[number, 0])
        seen = item.signal if item.novelty <= limit else TOO_NOVEL
        if item.loss != loss or not abs(seen - signal) <= tolerance.signal:
            raise ReleaseError(
                f"{where} has the loss {item.loss:g} and the signal {seen:g}; the evidence {loss:g} and {signal:g}.",
                _DO_NOT_RELY,
            )
    return f"All {len(items)} outputs and scores are those of the evidence, and of rows of the dataset."


def _answers(released: Released, workshop: Workshop) -> str:
    inputs, whence = _inputs(released, workshop)
    scorer = released.evidence[0].scorer
    tolerance = released.inventory.evaluation.tolerance
    answers = workshop.answers(released.files, [sample.prompt for sample in inputs])
    otherwise = sum(item.output != answer.output for item, answer in zip(released.items, answers, strict=True))
    if otherwise:
        _by_another_machine(released, workshop, otherwise)
    try:
        losses = workshop.losses(scorer, [answer.output for answer in answers], inputs)
    except Missing as lack:
        if otherwise:
            raise ReleaseError(f"{otherwise} of {len(inputs)} outputs come out otherwise.", _DO_NOT_RELY) from lack
        raise Missing(f"the outputs come out the same, but their losses were not computed: {lack}", lack.hint) from lack
    ids = released.evidence[1].ids
    off = dict.fromkeys(("output", *Tolerance.__struct_fields__), 0)
    first = ""
    for item, sample, answer, loss, trace_id in zip(released.items, inputs, answers, losses, ids, strict=True):
        again = msgspec.structs.replace(
            item, output=answer.output, signal=answer.signal, novelty=answer.novelty, loss=loss
        )
        differs = _differs(item, again, tolerance)
        if sample.trace_id != trace_id:
            raise ReleaseError(f"Row {item.row} is {sample.trace_id}; the evidence has {trace_id}.", _DO_NOT_RELY)
        for name in differs:
            off[name] += 1
        first = first or (f"{differs[0]} of row {item.row}" if differs else "")
    if first:
        counts = ", ".join(f"{count} {name}" for name, count in off.items() if count)
        raise ReleaseError(
            f"The student answers otherwise than the release says: {counts} of {len(inputs)} rows, {first} the first.",
            _DO_NOT_RELY,
        )
    return f"The student answered all {len(inputs)} certify rows ({whence}) again: same outputs, same losses."


def _by_another_machine(released: Released, workshop: Workshop, otherwise: int) -> None:
    """Raise Missing where a few outputs come out otherwise, and it may be this machine that computes otherwise."""
    there, here = released.inventory.evaluation.computed_on, workshop.environment()
    names = sorted(name for name in there if there[name] != here.get(name))
    if names and otherwise <= FEW * len(released.items):
        said = "; ".join(f"{name} {here.get(name, 'none')}, not {there[name]}" for name in names)
        raise Missing(
            f"{otherwise} of {len(released.items)} outputs come out otherwise, but they were computed on another kind "
            f"of machine: {said}.",
            "Verify on a machine like the one that `evaluation.computed_on` of inventory.json tells of.",
        )


def _differs(item: EvaluatedItem, again: EvaluatedItem, tolerance: Tolerance) -> list[str]:
    """What of an item came out otherwise."""
    names = [
        name
        for name in Tolerance.__struct_fields__
        if not abs(getattr(item, name) - getattr(again, name)) <= getattr(tolerance, name)
    ]
    return names if item.output == again.output else ["output", *names]


def _inputs(released: Released, workshop: Workshop) -> tuple[list[Sample], str]:
    """The certify rows in the order of the items, found by their hashes, and where they are from."""
    samples, whence = released.shipped, "shipped"
    if samples is None:
        samples, whence = workshop.stored(released.dataset), "of the installation"
    if samples is None:
        raise Missing(
            f"the rows are not in the release ({released.inventory.data.why_not_shipped or 'it says no reason'}).",
            "Name the installation that has them: --config FILE.",
        )
    hashes = released.shipped_hashes if released.shipped is not None else row_sha256s(samples)
    known = dict(zip(hashes, samples, strict=True))
    missing = [item for item in released.items if item.sha256 not in known]
    if missing:
        raise ReleaseError(
            f"{len(missing)} of {len(released.items)} certify rows are not among the rows {whence}: row "
            f"{missing[0].row} is the first.",
            _DO_NOT_RELY,
        )
    return [known[item.sha256] for item in released.items], whence
