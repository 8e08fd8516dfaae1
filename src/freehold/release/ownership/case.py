"""What answers a task now, and what it was made of: all that the points look at."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from freehold.config import Settings
from freehold.domain.evidence import Certificate, Student, signed_bytes
from freehold.domain.ownership import Point, Question
from freehold.domain.policy import TaskPolicy
from freehold.domain.rights import UNKNOWN, Asset
from freehold.domain.tasks import Task
from freehold.release.lineage import student_asset
from freehold.rights import terms_of_upstream
from freehold.store.keys import verify

if TYPE_CHECKING:
    from freehold.store import Store

_STUDENT = "student/"


class Model(NamedTuple):
    """One of the models in force."""

    name: str
    student: Student | None
    """None: a model at an upstream, or a student whose record is gone."""
    path: str
    sha256: str
    """Of the manifest; empty where nobody here can hash the weights."""


class Case(NamedTuple):
    """A task and all that its points look at."""

    store: Store
    settings: Settings
    task: Task
    models: tuple[Model, ...]
    routers: tuple[Model, ...]
    assets: tuple[Asset, ...]
    """The models', with their lineage."""
    certified: frozenset[str]
    """Hashes of manifests that certificates in force name, whose signatures by this installation hold."""
    now_ns: int

    @property
    def command(self) -> str:
        """Asks all of it again."""
        return f"freehold rights ownership --task {shlex.quote(self.task.name)}"

    def point(self, question: Question, got: bool, answer: str, *evidence: str, command: str = "", todo: str) -> Point:
        """A point of this task, asked now; `todo` counts where it was not got."""
        return Point(
            question=question,
            got=int(got),
            answer=answer,
            evidence=evidence,
            checked_ns=self.now_ns,
            command=command or self.command,
            todo="" if got else todo,
        )


def case_of(store: Store, settings: Settings, task: Task, policy: TaskPolicy | None, now_ns: int) -> Case:
    """The case of a task under its policy.

    Raises:
        StoreError: the control store cannot be read.
    """
    models, routers = _in_force(store, policy)
    assets = tuple(
        student_asset(store, model.student) if model.student else _rented(model.name, settings) for model in models
    )
    return Case(store, settings, task, models, routers, assets, _certified(store, policy), now_ns)


def _rented(name: str, settings: Settings) -> Asset:
    upstream = settings.upstreams.get(name.partition("/")[0])
    return Asset(asset_id=name, licence=terms_of_upstream(upstream) if upstream else UNKNOWN)


def _in_force(store: Store, policy: TaskPolicy | None) -> tuple[tuple[Model, ...], tuple[Model, ...]]:
    """The models that answer, and the routers that choose between them."""
    if policy is None:
        return (), ()
    ladder = policy.ladder
    if ladder is None:
        return tuple(_student(store, rung.student, rung.path, rung.sha256) for rung in policy.rungs), ()
    models = tuple(
        _student(store, model.name.removeprefix(_STUDENT), model.path, model.sha256)
        if model.name.startswith(_STUDENT)
        else Model(model.name, None, "", "")
        for model in ladder.models
    )
    return models, (Model(ladder.router, None, ladder.path, ladder.sha256),)


def _student(store: Store, student_id: str, path: str, sha256: str) -> Model:
    return Model(student_id, store.control.students.get(student_id), path, sha256)


def _certified(store: Store, policy: TaskPolicy | None) -> frozenset[str]:
    if policy is None:
        return frozenset()
    named = [rung.certificate for rung in policy.rungs] + ([policy.ladder.certificate] if policy.ladder else [])
    found = (store.control.certificates.get(name) for name in dict.fromkeys(named))
    holding = [one for one in found if one is not None and _signed_here(store, one)]
    return frozenset(digest for one in holding for rung in one.rungs for digest in (rung.sha256, rung.signal_sha256))


def _signed_here(store: Store, certificate: Certificate) -> bool:
    ours = store.keys.public_key() == certificate.public_key
    return ours and verify(certificate.public_key, signed_bytes(certificate), certificate.signature)
