"""Scored outcomes as a job keeps them between its steps: a file in the data folder, hashed on both ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from polars.exceptions import PolarsError

from freehold.domain.errors import StoreError
from freehold.signals.outcome_file import decode_outcomes, encode_outcomes
from freehold.signals.outcomes import Outcomes
from freehold.store.artifacts import sha256_of, write_folder

ROWS = "outcomes.parquet"
_REBUILD = "Let the loop build it again: `freehold ladder try TASK --fresh`."


class OutcomeFile(msgspec.Struct, frozen=True):
    """Where outcomes are, and which."""

    path: str
    """Of the folder, relative to the data folder."""
    sha256: str
    """Of the file."""
    models: tuple[str, ...]
    owned: tuple[bool, ...]


def write_outcomes(data: Path, outcomes: Outcomes, parts: Sequence[str]) -> OutcomeFile:
    """Write outcomes, whole or not at all, with the part of the evidence that each row belongs to.

    Raises:
        StoreError: they cannot be written.
    """
    body = encode_outcomes(outcomes, parts)
    digest = sha256_of(body)
    path = f"outcomes/{digest[:32]}"
    write_folder(data / path, {ROWS: body}, ROWS)
    return OutcomeFile(path, digest, outcomes.models, outcomes.owned)


def load_outcomes(data: Path, file: OutcomeFile) -> tuple[Outcomes, list[str]]:
    """What `write_outcomes` wrote: the outcomes, and the part of each row.

    Raises:
        StoreError: the file is missing, cannot be read, or is not the one that was written.
    """
    path = data / file.path / ROWS
    try:
        body = path.read_bytes()
        if sha256_of(body) != file.sha256:
            raise StoreError(f"The outcomes {path} are not those that were written.", _REBUILD)
        return decode_outcomes(body, file.models, file.owned)
    except (OSError, PolarsError) as error:
        raise StoreError(f"The outcomes {path} cannot be read: {error}.", _REBUILD) from error
