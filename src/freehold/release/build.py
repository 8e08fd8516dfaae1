"""A student in, a release out: all that somebody needs to check it and, where rights allow, to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from freehold import __version__
from freehold.config import Settings
from freehold.domain.errors import CertificateError, ConfigError, NotFound, RequestError, StoreError
from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.ids import new_id
from freehold.domain.releases import BuiltRelease
from freehold.release.clearance import Clearance, clear
from freehold.release.data import data_part
from freehold.release.evaluation import certificate_of, evaluation_part, places_of
from freehold.release.inventory import (
    INVENTORY,
    MODEL_SIGNATURE,
    README,
    EvaluationSection,
    Inventory,
    Item,
    ManifestFile,
    ReleaseManifest,
    Role,
    Weights,
    canonical_json,
)
from freehold.release.layout import Content, Copied, drafted, manifest_file, publish, write_file, write_files
from freehold.release.models import classifier_part, generative_part
from freehold.release.parts import Part, Wanted, filled, item, joined
from freehold.release.sign import sign_model, signed
from freehold.release.standards import documents
from freehold.release.standards.mof import as_listed
from freehold.release.training import training_part
from freehold.runners.machine import answering_environment
from freehold.serving.answering import answers_of
from freehold.store.artifacts import check_files, read_dataset, read_student, sha256_of
from freehold.store.certificates import seal_checks
from freehold.store.evidence import read_evidence
from freehold.store.keys import SigningKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freehold.serving.gate import StudentAnswer
    from freehold.store import Store

_WHAT = {"classifier": "A classifier", "generative": "A language model"}
_DOCUMENTS = {".md": "md", ".pdf": "pdf", ".txt": "txt"}


class Built(NamedTuple):
    """A release that was written."""

    inventory: Inventory
    record: BuiltRelease
    bytes: int
    """Of all files."""


def build_release(
    store: Store,
    settings: Settings,
    wanted: Wanted,
    now_ns: int,
    *,
    key: SigningKey | None = None,
    model_signing: Path | None = None,
) -> Built:
    """Write a student's release, whole or not at all, and note in the control store that it was built.

    Args:
        store, settings: where it was trained, and what is known of the organisation.
        wanted: what shall be in it.
        now_ns: when it is built.
        key: signs the manifest; None: this installation's.
        model_signing: PEM file of an EC key, where it shall be signed as the model-signing project does, too.

    Raises:
        NotFound: there is no such student.
        RightsError, RightsPending: it may not be given out, or not yet: see `freehold.release.clearance.clear`.
        CertificateError: it has no certificate of its own, or that does not hold.
        StoreError, StudentError: its files are missing or changed, or the release cannot be written; Conflict: there
            is something at `wanted.out`.
        ConfigError: the student is generative, and what computes its answers is not installed.
    """
    signer = key or store.keys
    licences = {"licence": as_listed(wanted.licence), "data_licence": as_listed(wanted.data_licence)}
    wanted = msgspec.structs.replace(wanted, **licences)
    subject = _subject(store, wanted)
    clearance = clear(store, settings, subject.student, subject.dataset, subject.samples, wanted)
    with drafted(wanted.out) as draft:
        inventory, part = _inventory(store, settings, subject, clearance, wanted)
        stamp: dict[str, Any] = {"created_ns": now_ns, "public_key": signer.public_key()}
        inventory = msgspec.structs.replace(inventory, **stamp)
        written = {file.path: file for file in write_files(draft, part.files, _roles(part.items))}
        inventory = msgspec.structs.replace(inventory, items=filled(inventory.items, written))
        told: dict[str, Content] = {INVENTORY: canonical_json(inventory), **documents(inventory)}
        roles: dict[str, Role] = {**dict.fromkeys(told, "standard"), INVENTORY: "inventory", README: "model-card"}
        files = [*written.values(), *write_files(draft, told, roles)]
        if model_signing is not None:
            sign_model(draft, model_signing)
            files.append(manifest_file(draft, MODEL_SIGNATURE, "signature"))
        record = _sealed(draft, inventory, files, signer, wanted)
        # Noted first: a recall that looks for a release that was never finished does no harm; one that misses one does.
        store.control.releases.put(record)
        publish(draft, wanted.out)
    return Built(inventory, record, sum(file.bytes for file in files))


def find_student(store: Store, wanted: str) -> Student:
    """The student of this id, or whose id begins so; or the one that answers a task of this name or id.

    Raises:
        NotFound: none, or several.
    """
    students = store.control.students.list()
    tasks = {task.task_id for task in store.control.tasks.list() if wanted in (task.task_id, task.name)}
    serving = {
        rung.student
        for entry in store.control.current_policy().tasks.values()
        if entry.task in tasks
        for rung in entry.rungs
    }
    found = [student for student in students if student.student_id == wanted or student.student_id in serving]
    found = found or [student for student in students if student.student_id.startswith((wanted, f"st_{wanted}"))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(student.student_id for student in found)
        raise NotFound(f"{wanted!r} could be any of {names}.", "Give the whole id.")
    raise NotFound(f"There is no student {wanted!r}.", "Give its id, or a task that a student answers.")


class _Subject(NamedTuple):
    """What is released, read and checked."""

    student: Student
    dataset: Dataset
    samples: list[Sample]
    manifest: dict[str, Any]
    """The student's own."""
    tensors: dict[str, NDArray[Any]]
    """Of a generative student: its gate, and its answers to the tune rows."""
    task: str
    """Its name."""


def _subject(store: Store, wanted: Wanted) -> _Subject:
    if not wanted.name.strip() or not wanted.name.isprintable():
        raise RequestError(f"{wanted.name!r} is no name.", "Give a --name of one line.")
    student = find_student(store, wanted.student)
    if student.kind == "generative" and find_spec("torch") is None:
        raise ConfigError(
            f"Student {student.student_id} is a language model, and cannot answer again here: torch is not installed.",
            "Run `pip install 'freehold[train]'`: no release is built of answers that were not computed again.",
        )
    dataset = store.control.datasets.get(student.dataset_id)
    if dataset is None:
        raise StoreError(
            f"The dataset {student.dataset_id} of student {student.student_id} is gone.",
            "Put the control database back from a backup, or train a new student.",
        )
    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    manifest, tensors = read_student(store.data / student.path, student.sha256)
    check_files(store.data / student.path, manifest)
    task = store.control.tasks.get(student.task)
    name = task.name if task is not None else student.task
    return _Subject(student, dataset, samples, manifest, tensors, name)


def _inventory(
    store: Store, settings: Settings, subject: _Subject, clearance: Clearance, wanted: Wanted
) -> tuple[Inventory, Part]:
    """All that does not depend on who builds it when; hashes are filled in once the files are written."""
    student = subject.student
    weights, model = _model(store, subject, wanted)
    data, rows = data_part(
        subject.dataset,
        subject.samples,
        folder=store.data / subject.dataset.path,
        wanted=wanted,
        steps=settings.curate_steps(subject.task, student.task),
        ruling=clearance.rights.distribute_data,
        unmet=clearance.data_unmet,
    )
    training, costs, made = training_part(student, subject.manifest, wanted)
    evaluation, results = _evaluation(store, subject, wanted)
    part = joined(_card(wanted), clearance.part, model, rows, made, results, _given(wanted))
    inventory = Inventory(
        release_id=new_id("rel"),
        name=wanted.name,
        description=wanted.description
        or f"{_WHAT[student.kind]} for the task {subject.task!r}, trained on recorded answers.",
        supplier=wanted.supplier,
        created_ns=0,
        software=f"freehold {__version__}",
        student_id=student.student_id,
        task=subject.task,
        task_id=student.task,
        licence=wanted.licence,
        public_key="",
        weights=weights,
        data=data,
        training=training,
        evaluation=evaluation,
        lineage=clearance.lineage,
        rights=clearance.rights,
        costs=costs,
        items=part.items,
    )
    return inventory, part


def _model(store: Store, subject: _Subject, wanted: Wanted) -> tuple[Weights, Part]:
    student, folder = subject.student, store.data / subject.student.path
    if student.kind == "classifier":
        return classifier_part(student, folder, subject.manifest, subject.tensors, wanted.licence)
    return generative_part(student, folder, subject.manifest, store.data, wanted.licence)


def _evaluation(store: Store, subject: _Subject, wanted: Wanted) -> tuple[EvaluationSection, Part]:
    certificate = certificate_of(store.control.certificates.list(subject.student.task), subject.student)
    for check in seal_checks(store, certificate):
        if check.passed is False:
            raise CertificateError(f"Certificate {certificate.certificate_id}: {check.sentence}", check.hint)
    folder = store.data / certificate.evidence_path
    evidence, rows = read_evidence(folder, certificate.evidence_sha256)
    return evaluation_part(
        certificate,
        evidence,
        rows,
        folder=folder,
        samples=subject.samples,
        answers=_answers(store, subject, rows.ids),
        student=subject.student,
        licence=wanted.licence,
        computed_on=answering_environment() if subject.student.kind == "generative" else {},
    )


def _answers(store: Store, subject: _Subject, trace_ids: Sequence[str]) -> list[StudentAnswer]:
    """Given again now, to the rows of these ids.

    Raises:
        CertificateError: a row is none of the dataset.
    """
    places = places_of(subject.samples)
    strangers = [trace_id for trace_id in trace_ids if trace_id not in places]
    if strangers:
        raise CertificateError(
            f"Row {strangers[0]} of the evidence is not in dataset {subject.dataset.dataset_id}.",
            "Certify the student again, and release it then.",
        )
    prompts = [subject.samples[places[trace_id]].prompt for trace_id in trace_ids]
    return answers_of(store.data, subject.student, prompts)


def _card(wanted: Wanted) -> Part:
    return Part({}, (item(README, "model-card", "present", wanted.licence),))


def _given(wanted: Wanted) -> Part:
    """A technical report and a paper, where somebody wrote them."""
    files: dict[str, Content] = {}
    items: list[Item] = []
    roles: tuple[tuple[Role, Path | None], ...] = (
        ("technical-report", wanted.report),
        ("research-paper", wanted.paper),
    )
    for role, source in roles:
        if source is None:
            continue
        ending = _DOCUMENTS.get(source.suffix.lower())
        if ending is None or not source.is_file():
            raise RequestError(f"{source} is no document.", "Give a file that ends in .md, .pdf or .txt.")
        path = f"documents/{role}.{ending}"
        files[path] = Copied(source)
        items.append(item(path, role, "present", wanted.licence))
    return Part(files, tuple(items))


def _roles(items: tuple[Item, ...]) -> dict[str, Role]:
    """Path → the role of the first item that lies there."""
    return {each.path: each.role for each in reversed(items) if each.path}


def _sealed(
    draft: Path, inventory: Inventory, files: list[ManifestFile], signer: SigningKey, wanted: Wanted
) -> BuiltRelease:
    manifest = ReleaseManifest(release_id=inventory.release_id, files=tuple(sorted(files, key=lambda file: file.path)))
    parts = signed(manifest, signer)
    for path, content in parts.items():
        write_file(draft, path, content)
    return BuiltRelease(
        release_id=inventory.release_id,
        student=inventory.student_id,
        task=inventory.task_id,
        path=str(wanted.out.absolute()),
        manifest_sha256=sha256_of(next(iter(parts.values()))),
        created_ns=inventory.created_ns,
    )
