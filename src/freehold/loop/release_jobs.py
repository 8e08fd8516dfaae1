"""What verifying a release needs done: curating, training and evaluating again, by the rooms that do these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.errors import ReleaseError, ScorerError, StudentError
from freehold.domain.evidence import Certificate, Check, Dataset, Evidence, Sample
from freehold.domain.rights import Kind
from freehold.domain.scoring import PythonScorer, SqlScorer, kind_of
from freehold.release.inventory import CLASSICAL_TOLERANCE
from freehold.release.verify import Answered, Recipe, Workshop
from freehold.release.verify.documents import parse
from freehold.release.verify.report import Missing
from freehold.release.verify.training import DECISIVE
from freehold.runners.machine import TRAINING_CODE
from freehold.store.artifacts import MANIFEST, TENSORS, read_dataset, sha256_of, student_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from freehold.config import Settings
    from freehold.store import Store
    from freehold.store.evidence import EvidenceRows

REPLAYED_FOLD = 0
_RUNS_CODE = (PythonScorer, SqlScorer)
_DO_NOT_RELY = "Do not rely on this release: ask whoever signed it."


class BaseWorkshop:
    """What is done alike for all kinds of students.

    Args:
        config: of the installation whose rows, traffic, scorers and base models may be used; None: only the release's.
    """

    def __init__(self, config: Path | None = None) -> None:
        self._config = config
        self._opened: tuple[Store, Settings] | None = None

    def losses(self, scorer: str, outputs: Sequence[str], samples: Sequence[Sample]) -> list[float]:
        """See `Workshop`."""
        from freehold.evaluate.losses import loss_of, scorer_from

        known = scorer_from(scorer)
        runs_code = isinstance(known, _RUNS_CODE)
        if runs_code and not (isinstance(known, SqlScorer) and self._has(scorer)):
            own = "Name an installation that has a task with this very scorer (--config FILE), or score"
            raise Missing(
                f"its {kind_of(known)} scorer runs code that comes with the release, which verifying never does.",
                f"{own if isinstance(known, SqlScorer) else 'Score'} the outputs in evaluation/items.jsonl yourself, "
                "where you trust that code.",
            )
        try:
            return [loss_of(known, output, sample) for output, sample in zip(outputs, samples, strict=True)]
        except ScorerError as error:
            if not runs_code:
                raise
            raise Missing(f"the {kind_of(known)} scorer cannot work here: {error.message}", error.hint) from error

    def figures(self, certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> list[Check]:
        """See `Workshop`."""
        from freehold.evaluate import figure_checks

        return figure_checks(certificate, evidence, rows)

    def stored(self, dataset: Dataset) -> list[Sample] | None:
        """See `Workshop`."""
        installation = self.installation()
        known = installation[0].control.datasets.get(dataset.dataset_id) if installation else None
        if installation is None or known is None or known.sha256 != dataset.sha256:
            return None
        return read_dataset(installation[0].data / known.path, known.sha256)

    def rebuilt(self, dataset: Dataset) -> list[Sample] | None:
        """See `Workshop`."""
        from freehold.curate.dataset import rebuild_samples

        installation = self.installation()
        return None if installation is None else rebuild_samples(*installation, dataset)

    def installation(self) -> tuple[Store, Settings] | None:
        """The one that was named, opened once; None: none was.

        Raises:
            ReleaseError: it has no data folder.
        """
        if self._config is None:
            return None
        if self._opened is None:
            from freehold.config import load_settings
            from freehold.record.opening import open_store

            settings = load_settings(self._config)
            if not settings.data.is_dir():
                raise ReleaseError(f"The installation has no data folder {settings.data}.", "Check --config.")
            self._opened = open_store(settings), settings
        return self._opened

    def _has(self, scorer: str) -> bool:
        """Whether the installation at hand has a task with this very scorer: its database is its own then, and queries
        may only read it."""
        from freehold.evaluate.losses import described

        installation = self.installation()
        tasks = installation[0].control.tasks.list() if installation is not None else ()
        return any(described(task.scorer) == scorer for task in tasks)


class ClassicalWorkshop(BaseWorkshop):
    """For classical students. Nothing of the release is run: students are arrays."""

    tolerance = CLASSICAL_TOLERANCE
    segment = (
        "Two segments: the second stage is fitted again from the checkpoint that the first left, and one fold of the "
        "first from the rows, with all that is counted of them before."
    )
    decisive = DECISIVE
    code = TRAINING_CODE

    def environment(self) -> dict[str, str]:
        """See `Workshop`."""
        return {}

    def answers(self, files: Mapping[str, bytes], prompts: Sequence[str]) -> list[Answered]:
        """See `Workshop`."""
        from freehold.upstreams.student import build_classifier

        classifier = build_classifier(*_student(files))
        found = (classifier.answer(prompt) for prompt in prompts)
        return [Answered(answer.text, answer.signal, answer.novelty) for answer in found]

    def replayed(self, recipe: Recipe) -> list[Check]:
        """See `Workshop`."""
        from freehold.train import has_checkpoint, replay_fold, replay_second_stage

        _, tensors = _student(recipe.files)
        if not has_checkpoint(tensors):
            raise Missing("the student has no checkpoint: it was trained by an earlier version.", "Train it again.")
        second = replay_second_stage(tensors)
        found = [_segment("second stage", second, "the weights and signals")]
        if not second:
            fold = replay_fold(tensors, recipe.dataset, recipe.samples, recipe.seed, REPLAYED_FOLD)
            found.append(_segment(f"fold {REPLAYED_FOLD + 1}", fold, "all counts of the rows and its scores"))
        return found

    def retrained(self, recipe: Recipe) -> dict[str, bytes]:
        """See `Workshop`."""
        from freehold.train import fit_student

        fitted = fit_student(recipe.dataset, recipe.samples, recipe.seed)
        return student_files(msgspec.to_builtins(fitted.manifest), fitted.tensors)


def workshop_for(kind: Kind, config: Path | None = None) -> Workshop:
    """For one kind of student; `config` as for `BaseWorkshop`."""
    if kind == "classifier":
        return ClassicalWorkshop(config)
    from freehold.loop.release_generative import GenerativeWorkshop

    return GenerativeWorkshop(config)


def _student(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Manifest and tensors of a student.

    Raises:
        StudentError: they are no student's, or do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        manifest = parse(files[MANIFEST], dict[str, Any], f"model/{MANIFEST}")
        tensors = load(files[TENSORS])
    except (KeyError, SafetensorError, ValueError) as error:
        raise StudentError(f"The release's model folder holds no student: {error}.", _DO_NOT_RELY) from error
    if manifest.get("files") != {TENSORS: sha256_of(files[TENSORS])} or set(files) != {MANIFEST, TENSORS}:
        raise StudentError("The student's manifest names other files than the release has.", _DO_NOT_RELY)
    return manifest, tensors


def _segment(name: str, other: list[str], what: str) -> Check:
    if not other:
        return Check(name=name, passed=True, sentence=f"Fitted again: {what} are the same to the bit.")
    sentence = f"Fitted again, {', '.join(other)} came out otherwise."
    hint = "The release does not tell how this student was trained: ask whoever signed it."
    return Check(name=name, passed=False, sentence=sentence, hint=hint)
