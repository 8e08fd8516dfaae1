"""What verifying needs of other rooms: they curate, train and evaluate, and are handed in by whoever calls.

Each kind of student has a `Workshop`, whose checkpoints and tolerances are its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from freehold.domain.evidence import Certificate, Check, Dataset, Evidence, Sample
from freehold.domain.machines import TrainingRun
from freehold.release.inventory import Tolerance
from freehold.store.artifacts import sha256_of

if TYPE_CHECKING:
    from freehold.store.evidence import EvidenceRows


class Answered(NamedTuple):
    """What a student says of one row."""

    output: str
    signal: float
    novelty: float


class StudentFiles(Mapping[str, bytes]):
    """A student's files by their names in its folder, which may be larger than memory: each is read when asked for."""

    @property
    @abstractmethod
    def hashes(self) -> Mapping[str, str]:
        """Name → SHA-256."""

    @abstractmethod
    def folder(self, place: Path) -> Path:
        """A folder that holds them all: written below `place`, an empty folder, unless they lie in one already.

        Raises:
            ReleaseError: a file is not the one that was signed.
            StoreError: they cannot be written.
        """

    def __iter__(self) -> Iterator[str]:
        return iter(self.hashes)

    def __len__(self) -> int:
        return len(self.hashes)


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Name → SHA-256 of a student's files."""
    if isinstance(files, StudentFiles):
        return dict(files.hashes)
    return {name: sha256_of(data) for name, data in files.items()}


class Recipe(NamedTuple):
    """What a student was made from, and the student."""

    files: Mapping[str, bytes]
    """Its files, by their names in the release's model folder; every byte is as signed."""
    dataset: Dataset
    samples: Sequence[Sample]
    """All rows of the dataset, in order."""
    seed: int
    run: TrainingRun | None = None
    """As it is told of; None: unknown."""


class Workshop(Protocol):
    """For one kind of student."""

    tolerance: Tolerance
    """The laxest that a release may state."""
    segment: str
    """What level 3 does of the training, in a sentence."""
    decisive: frozenset[str]
    """Packages whose version can change the bytes of such a student."""
    code: tuple[str, ...]
    """Of the package, what can: see `freehold.runners.machine`."""

    def environment(self) -> dict[str, str]:
        """What answers depend on here beside the weights; empty: nothing that is known of."""
        ...

    def answers(self, files: Mapping[str, bytes], prompts: Sequence[str]) -> list[Answered]:
        """Have the student answer.

        Raises:
            StudentError: its files do not fit together.
            Missing: what computes, or its base model, is not at hand.
        """
        ...

    def losses(self, scorer: str, outputs: Sequence[str], samples: Sequence[Sample]) -> list[float]:
        """The loss of each output against its row, by a scorer as evidence describes it (empty: by equality).

        Raises:
            EvidenceError, ScorerError: the scorer is not known, or cannot be carried out.
            Missing: it would run code from the release.
        """
        ...

    def figures(self, certificate: Certificate, evidence: Evidence, rows: EvidenceRows) -> list[Check]:
        """Whether all that a certificate says follows from its evidence."""
        ...

    def stored(self, dataset: Dataset) -> list[Sample] | None:
        """The dataset's rows as the installation at hand keeps them; None: there is no installation, or not of these.

        Raises:
            StoreError: they cannot be read.
        """
        ...

    def rebuilt(self, dataset: Dataset) -> list[Sample] | None:
        """The dataset curated again from the installation's own traces; None: there is no installation at hand.

        Raises:
            FreeholdError: there is nothing to build it from.
        """
        ...

    def replayed(self, recipe: Recipe) -> list[Check]:
        """Do a segment of the training again from its checkpoint.

        Raises:
            StudentError: the checkpoint does not fit the student.
            Missing: there is none.
        """
        ...

    def retrained(self, recipe: Recipe) -> Mapping[str, bytes]:
        """The student's files, trained again from nothing.

        Raises:
            EvidenceError: there is nothing to train on.
            Missing: it could not come out the same here, or what trains or its base model is not at hand.
        """
        ...
