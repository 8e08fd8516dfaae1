"""Whether a stored student has picked up the canaries of its dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.curate.poisoning.canaries import CanaryReport, is_canary, learned
from freehold.domain.errors import NotFound
from freehold.serving.answering import answers_of
from freehold.store.artifacts import read_dataset

if TYPE_CHECKING:
    from freehold.domain.evidence import Student
    from freehold.store import Store


def ask_for_canaries(store: Store, student: Student) -> CanaryReport:
    """Ask a student for the canaries that were planted in its dataset.

    Raises:
        NotFound: its dataset is not stored.
        StoreError: the dataset cannot be read.
        StudentError: the student cannot be.
    """
    dataset = store.control.datasets.get(student.dataset_id)
    if dataset is None:
        raise NotFound(f"The dataset {student.dataset_id} is not stored.", "`freehold dataset list` lists them.")
    planted = [sample for sample in read_dataset(store.data / dataset.path, dataset.sha256) if is_canary(sample)]
    given = answers_of(store.data, student, [sample.prompt for sample in planted])
    texts = {sample.prompt: answer.text for sample, answer in zip(planted, given, strict=True)}
    return learned(planted, lambda prompt: texts[prompt])
