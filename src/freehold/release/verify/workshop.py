"""What verifying needs of other rooms: they curate, train and evaluate, and are handed in by whoever calls.

Another kind of student (a generative one) is another `Workshop`, whose checkpoints and tolerances are its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from freehold.domain.evidence import Certificate, Check, Dataset, Evidence, Sample
from freehold.release.inventory import Tolerance

if TYPE_CHECKING:
    from freehold.store.evidence import EvidenceRows


class Answered(NamedTuple):
    """What a student says of one row."""

    output: str
    signal: float
    novelty: float


class Recipe(NamedTuple):
    """What a student was made from, and the student."""

    files: Mapping[str, bytes]
    """Its files, by their names in the release's model folder; every byte is as signed."""
    dataset: Dataset
    samples: Sequence[Sample]
    """All rows of the dataset, in order."""
    seed: int


class Workshop(Protocol):
    """For one kind of student."""

    tolerance: Tolerance
    """The laxest that a release may state."""
    segment: str
    """What level 3 does of the training, in a sentence."""

    def answers(self, files: Mapping[str, bytes], prompts: Sequence[str]) -> list[Answered]:
        """Have the student answer.

        Raises:
            StudentError: its files do not fit together.
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

    def retrained(self, recipe: Recipe) -> dict[str, bytes]:
        """The student's files, trained again from nothing.

        Raises:
            EvidenceError: there is nothing to train on.
        """
        ...
