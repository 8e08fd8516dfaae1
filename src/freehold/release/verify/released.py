"""What is in a release, read when it is wanted and hashed as it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from freehold.domain.errors import ReleaseError
from freehold.domain.evidence import Certificate, Dataset, Evidence, Sample
from freehold.release.inventory import (
    CERTIFICATE,
    DATASET,
    EVIDENCE,
    ITEMS,
    ROW_HASHES,
    ROWS,
    EvaluatedItem,
    Inventory,
    canonical_json,
)
from freehold.release.verify.documents import parse
from freehold.release.verify.seal import Sealed
from freehold.release.verify.tree import GET_ANOTHER
from freehold.release.verify.workshop import StudentFiles
from freehold.store.artifacts import row_sha256s
from freehold.store.evidence import parse_evidence

if TYPE_CHECKING:
    from freehold.store.evidence import EvidenceRows

MODEL = "model/"
MAX_LINE = 64 << 20
"""Bytes of a row: what unpacks to more is no row."""
MAX_ROWS = 8 << 30
"""Bytes of all rows, unpacked."""
_HASH_LINE = 65


class _Files(StudentFiles):
    def __init__(self, sealed: Sealed) -> None:
        self._sealed = sealed
        self._hashes = {
            path.removeprefix(MODEL): file.sha256 for path, file in sealed.files.items() if path.startswith(MODEL)
        }
        self._folder: Path | None = None

    @property
    def hashes(self) -> dict[str, str]:
        return self._hashes

    def __getitem__(self, name: str) -> bytes:
        if name not in self._hashes:
            raise KeyError(name)
        return self._sealed.read(MODEL + name)

    def folder(self, place: Path) -> Path:
        if self._folder is None:
            for name in self._hashes:
                self._sealed.copy(MODEL + name, place / name)
            self._folder = place
        return self._folder


class Released:
    """A release whose level 0 was reached. Every property raises ReleaseError or StoreError where a file is missing,
    was changed since, or does not hold what it must."""

    def __init__(self, sealed: Sealed, inventory: Inventory) -> None:
        self.sealed = sealed
        self.inventory = inventory

    @cached_property
    def certificate(self) -> Certificate:
        """As signed; its signature is not looked at here."""
        return self.sealed.decode(CERTIFICATE, Certificate)

    @cached_property
    def evidence(self) -> tuple[Evidence, EvidenceRows]:
        """What the certificate names by hash."""
        folder = PurePosixPath(EVIDENCE).parent.as_posix()
        digest = self.certificate.evidence_sha256
        return parse_evidence(folder, digest, lambda name: self.sealed.read(f"{folder}/{name}"))

    @cached_property
    def items(self) -> list[EvaluatedItem]:
        """Per certify row, what the student is said to answer."""
        lines = self.sealed.read(ITEMS).splitlines()
        return [parse(line, EvaluatedItem, f"{ITEMS}, line {n}") for n, line in enumerate(lines, start=1)]

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset's record."""
        return self.sealed.decode(DATASET, Dataset)

    @cached_property
    def row_hashes(self) -> list[str]:
        """Of the dataset's rows, in order."""
        data = self.sealed.read(ROW_HASHES)
        hashes = data.decode("ascii", errors="replace").split("\n")
        if len(data) % _HASH_LINE or hashes.pop() or any(len(line) != _HASH_LINE - 1 for line in hashes):
            raise ReleaseError(f"{ROW_HASHES} is not one SHA-256 a line.", GET_ANOTHER)
        return hashes

    @cached_property
    def files(self) -> StudentFiles:
        """The student's files, by their names in the model folder; every byte that is given was hashed."""
        return _Files(self.sealed)

    @cached_property
    def shipped(self) -> list[Sample] | None:
        """The rows, if they are in the release. Their hashes are not looked at here."""
        return list(self._rows()) if ROWS in self.sealed.files else None

    @cached_property
    def shipped_hashes(self) -> list[str]:
        """Of the rows that are in the release, computed from them."""
        return row_sha256s(self.shipped or [])

    def _rows(self) -> Iterator[Sample]:
        import zstandard

        packed = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(self.sealed.read(ROWS)))
        lines = io.BufferedReader(packed)  # pyright: ignore[reportArgumentType]
        limit, unpacked = self.inventory.data.rows, 0
        for number in range(1, limit + 2):
            try:
                line = lines.readline(MAX_LINE)
            except zstandard.ZstdError as error:
                raise ReleaseError(f"{ROWS} cannot be unpacked: {error}.", GET_ANOTHER) from error
            if not line:
                return
            unpacked += len(line)
            if number > limit or unpacked > MAX_ROWS or not line.endswith(b"\n"):
                raise ReleaseError(f"{ROWS} unpacks to more than the {limit} rows of the dataset.", GET_ANOTHER)
            sample = parse(line[:-1], Sample, f"{ROWS}, line {number}")
            if canonical_json(sample) != line[:-1]:
                raise ReleaseError(f"{ROWS}, line {number}, holds more than a row has.", GET_ANOTHER)
            yield sample
