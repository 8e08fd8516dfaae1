"""From the certificate of a ladder to what the gateway executes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.config import Settings
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Certificate, CertifiedRung
from freehold.domain.policy import Ladder, LadderModel
from freehold.store.artifacts import read_router
from freehold.upstreams.matching import ModelMap

if TYPE_CHECKING:
    from freehold.store import Store


def ladder_of(store: Store, settings: Settings, certificate: Certificate, fingerprints: tuple[str, ...]) -> Ladder:
    """The ladder that a certificate is for, as a policy holds it.

    Raises:
        StudentError: the router's files are missing or changed.
        EvidenceError: its rungs have several routers, or a model is no longer where it was when it was certified.
    """
    first = certificate.rungs[0]
    if {rung.signal for rung in certificate.rungs} != {first.signal}:
        raise EvidenceError(
            f"The rungs of certificate {certificate.certificate_id} do not have one router.", "Certify them together."
        )
    manifest, _ = read_router(store.data / first.signal_path, first.signal_sha256)
    where = ModelMap({name: upstream.models for name, upstream in settings.upstreams.items()})
    return Ladder(
        router=first.signal,
        path=first.signal_path,
        sha256=first.signal_sha256,
        models=tuple(_model(store, where, rung) for rung in certificate.rungs),
        signal=manifest["signal"],
        certificate=certificate.certificate_id,
        fingerprints=fingerprints,
        samples=manifest.get("samples", 1),
        logprobs=manifest.get("logprobs", False),
        validity=manifest.get("validity", False),
    )


def _model(store: Store, where: ModelMap, rung: CertifiedRung) -> LadderModel:
    if rung.kind == "student":
        student = store.control.students.get(rung.name)
        assert student is not None  # the certificate's seal was checked
        return LadderModel(name=f"student/{rung.name}", path=student.path, sha256=student.sha256)
    upstream, _, model = rung.name.partition("/")
    if where.find(model) != upstream:
        raise EvidenceError(
            f"{model} was certified at upstream {upstream!r}, and is now at {where.find(model)!r}.",
            "Let the loop certify it where it is now.",
        )
    return LadderModel(name=model)
