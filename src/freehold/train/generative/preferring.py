"""What a task's student learns preferences from: what people said, and what the newest student answers worse.

Preference tuning goes on from a student that answers already (Rafailov et al. 2023, section 4). Here that is the task's
newest on the same base; where there is none, the base itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.scoring import FeedbackScorer, JudgeScorer, Scorer
from freehold.rights.lineage import terms_in
from freehold.serving.answering import answers_of
from freehold.serving.folder import ADAPTER, MODEL, BaseUsed, GenerativeManifest
from freehold.store.artifacts import check_files, read_student
from freehold.store.recalls import recalled
from freehold.train.generative.preferences import (
    Pair,
    chosen_pairs,
    judged_of,
    pairs_from_feedback,
    pairs_from_incumbent,
)
from freehold.train.generative.spec import BaseStart
from freehold.train.recipes import Preference, Recipe

if TYPE_CHECKING:
    from freehold.store import Store

MOST_ASKED = 2000
"""Prompts that the newest student answers for pairs: each costs an answer, and where it is worse is soon known."""
HIDING = frozenset(("redact", "secrets"))
"""Steps of curating that take something out of texts. Feedback is kept as people wrote it, so that after such a step
none of its texts, and no answer as it was given, is learned from."""
TUNE_SHARE = 10
"""Of so many prompts the pairs of one say when to stop."""


class Preferred(NamedTuple):
    """What a student learns preferences from, and what it begins as."""

    pairs: tuple[Pair, ...]
    start: BaseStart
    student: str = ""
    """Whose weights or adapter it goes on from; empty: the base's own."""
    sha256: str = ""
    """Of that student's manifest."""


class _Earlier(NamedTuple):
    """A student that is there already."""

    student: Student
    folder: Path
    manifest: GenerativeManifest


def preferred(
    store: Store,
    dataset: Dataset,
    samples: Sequence[Sample],
    recipe: Recipe,
    base: tuple[BaseUsed, Path],
    scorer: Scorer,
) -> Preferred:
    """Pairs from the dataset's fit rows, and what a student that learns them begins as.

    The same dataset gives the same pairs until more is said of its answers, or a newer student of other rows is there.

    Raises:
        EvidenceError: there are too few pairs.
        StudentError: the newest student's files, or its base's, are missing or changed.
        ScorerError: the scorer cannot be carried out as it is set.
        StoreError: feedback cannot be read.
    """
    wanted = recipe.preference or Preference()
    earlier = _newest(store, dataset)
    pairs: list[Pair] = []
    if wanted.pairs != "incumbent" and not any(step.step in HIDING for step in dataset.steps):
        pairs += pairs_from_feedback(judged_of(store, samples))
    computes = not isinstance(scorer, FeedbackScorer | JudgeScorer)
    if wanted.pairs != "feedback" and earlier is not None and computes:
        pairs += _worse_answers(store, earlier.student, samples, scorer)
    chosen = tuple(chosen_pairs(pairs, wanted))
    used, folder = base
    start = None if earlier is None else _going_on(store, dataset, earlier, recipe, used, folder)
    if earlier is None or start is None:
        return Preferred(chosen, BaseStart(folder=str(folder)))
    return Preferred(chosen, start, earlier.student.student_id, earlier.student.sha256)


def parted(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Those to learn and those that say when to stop: all of a prompt on one side, whatever other pairs there are."""
    fit: list[Pair] = []
    tune: list[Pair] = []
    for pair in pairs:
        (tune if _drawn(pair.prompt) % TUNE_SHARE == 0 else fit).append(pair)
    return (fit, tune) if fit else (tune, [])


def pairs_sha256(pairs: Sequence[Pair]) -> str:
    """Of all that pairs say, in order."""
    return hashlib.sha256(msgspec.json.encode(pairs)).hexdigest()


def _newest(store: Store, dataset: Dataset) -> _Earlier | None:
    """The task's newest generative student that may be used; none that learned preferences from this very dataset:
    what is made of it must not depend on whether it was made before."""
    students = [one for one in store.control.students.list() if one.task == dataset.task and one.kind == "generative"]
    for student in sorted(students, key=lambda one: (one.created_ns, one.student_id), reverse=True):
        folder = store.data / student.path
        if not folder.is_dir() or recalled(store, student.student_id):
            continue
        manifest, _ = read_student(folder, student.sha256)
        known = msgspec.convert(manifest, GenerativeManifest)
        if student.dataset_id != dataset.dataset_id or known.recipe.get("method") != "dpo":
            return _Earlier(student, folder, known)
    return None


def _worse_answers(store: Store, student: Student, samples: Sequence[Sample], scorer: Scorer) -> list[Pair]:
    """Where the student answers fit prompts worse than the incumbent did; the first row of each prompt counts."""
    rows = {sample.prompt: sample for sample in reversed(samples) if sample.part == "fit" and sample.answer.strip()}
    asked = sorted(rows.values(), key=lambda sample: (_drawn(sample.prompt), sample.prompt))[:MOST_ASKED]
    given = answers_of(store.data, student, [sample.prompt for sample in asked])
    told = [(sample, answer.text) for sample, answer in zip(asked, given, strict=True) if answer.text.strip()]
    return pairs_from_incumbent([sample for sample, _ in told], [text for _, text in told], scorer)


def _going_on(
    store: Store, dataset: Dataset, earlier: _Earlier, recipe: Recipe, used: BaseUsed, folder: Path
) -> BaseStart | None:
    """The weights of a student as a start; None where they do not fit the recipe, or would bring in others' terms."""
    known = earlier.manifest
    if known.base is None or known.base.sha256 != used.sha256:
        return None
    if (known.weights == "adapter") != (recipe.adapter is not None):
        return None
    learned = store.control.datasets.get(earlier.student.dataset_id)
    if learned is None or not set(terms_in(learned)) <= set(terms_in(dataset)):
        return None
    manifest: dict[str, Any] = read_student(earlier.folder, earlier.student.sha256)[0]
    check_files(earlier.folder, manifest)
    if known.weights == "adapter":
        return BaseStart(folder=str(folder), adapter=str(earlier.folder / ADAPTER))
    return BaseStart(folder=str(earlier.folder / MODEL))


def _drawn(prompt: str) -> int:
    return int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8], "big")
