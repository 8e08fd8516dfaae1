"""Evidence files: everything a certificate's figures are computed from, hashed when written and when read.

A folder holds `evidence.json`, whose SHA-256 the certificate carries, and `rows.parquet`, whose SHA-256 the former
carries: the certify rows in the order they were tested, with the columns `row` (the sample's trace id), `weight`
(1/propensity), per rung r `loss_r` and, where it has a signal of its own, `signal_r`, and per step s of the walk
`choice_s`: the rung that answers the row at that step's thresholds, −1 for the incumbent. Where rungs were chosen by
answers, `outcomes.parquet` holds these (`freehold.signals.outcome_file`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from freehold.domain.errors import StoreError
from freehold.domain.evidence import Evidence
from freehold.store.artifacts import sha256_of, write_folder

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

MANIFEST = "evidence.json"
ROWS = "rows.parquet"
OUTCOMES = "outcomes.parquet"
_RESTORE = "Put the folder back from a backup; until then nothing can say that the certificate holds."
_canonical = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Evidence, strict=True)


class EvidenceRows(NamedTuple):
    """The certify rows, in the order they were tested: n rows, R rungs, S steps."""

    ids: list[str]
    """(n,): the samples' trace ids."""
    weights: NDArray[np.float64]
    """(n,): 1/propensity."""
    losses: NDArray[np.float64]
    """(n, R)"""
    choices: NDArray[np.int8]
    """(n, S): the index of the rung that answers, −1 for the incumbent."""
    signals: NDArray[np.float64] | None
    """(n, R); None where a router chose and the rungs have none of their own."""
    outcomes: bytes | None = None
    """What the router saw of answers; None where it looks at prompts only."""


def evidence_folder(root: Path, sha256: str) -> Path:
    """Where evidence of this hash lies."""
    return root / sha256[:32]


def write_evidence(root: Path, evidence: Evidence, rows: EvidenceRows) -> str:
    """Write a folder of evidence, whole or not at all; returns the SHA-256 of its manifest.

    Raises:
        StoreError: it cannot be written.
    """
    import polars as pl

    columns: dict[str, Any] = {"row": rows.ids, "weight": rows.weights}
    columns |= {f"loss_{rung}": rows.losses[:, rung] for rung in range(rows.losses.shape[1])}
    if rows.signals is not None:
        columns |= {f"signal_{rung}": rows.signals[:, rung] for rung in range(rows.signals.shape[1])}
    columns |= {f"choice_{step}": rows.choices[:, step] for step in range(rows.choices.shape[1])}
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, compression="zstd")
    files = {ROWS: buffer.getvalue()} | ({} if rows.outcomes is None else {OUTCOMES: rows.outcomes})
    hashes = {name: sha256_of(data) for name, data in files.items()}
    body = _canonical.encode(msgspec.structs.replace(evidence, files=hashes))
    digest = sha256_of(body)
    write_folder(evidence_folder(root, digest), files | {MANIFEST: body}, MANIFEST)
    return digest


def read_evidence(folder: Path, expected_sha256: str) -> tuple[Evidence, EvidenceRows]:
    """The evidence in `folder`, every byte checked against `expected_sha256` (of its manifest).

    Raises:
        StoreError: a file is missing, cannot be read, or is not the one that was written; the message names it.
    """
    return parse_evidence(str(folder), expected_sha256, lambda name: _read(folder / name))


def parse_evidence(where: str, expected_sha256: str, read: Callable[[str], bytes]) -> tuple[Evidence, EvidenceRows]:
    """The evidence whose files `read` gives by name, as `read_evidence`; `where` is what errors call their folder.

    Raises:
        StoreError: a file is not the one that was written, or does not hold what it must; the message names it.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    body = _checked(where, MANIFEST, read, expected_sha256)
    try:
        evidence = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise StoreError(f"{where}/{MANIFEST} is no evidence of this form: {error}.", _RESTORE) from error
    data = _checked(where, ROWS, read, evidence.files.get(ROWS, ""))
    outcomes = _checked(where, OUTCOMES, read, evidence.files[OUTCOMES]) if OUTCOMES in evidence.files else None
    try:
        return evidence, _rows(pl.read_parquet(io.BytesIO(data)), evidence)._replace(outcomes=outcomes)
    except (PolarsError, KeyError, ValueError) as error:
        raise StoreError(f"{where}/{ROWS} does not hold the rows of evidence: {error}.", _RESTORE) from error


def _rows(table: pl.DataFrame, evidence: Evidence) -> EvidenceRows:
    import polars as pl

    rungs, steps = range(len(evidence.rungs)), range(len(evidence.path))
    signalled = "signal_0" in table.columns
    return EvidenceRows(
        ids=table.get_column("row").to_list(),
        weights=table.get_column("weight").to_numpy(),
        losses=table.select([pl.col(f"loss_{rung}") for rung in rungs]).to_numpy(),
        choices=table.select([pl.col(f"choice_{step}") for step in steps]).to_numpy(),
        signals=table.select([pl.col(f"signal_{rung}") for rung in rungs]).to_numpy() if signalled else None,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"The evidence {path} cannot be read: {error.strerror}.", _RESTORE) from error


def _checked(where: str, name: str, read: Callable[[str], bytes], expected_sha256: str) -> bytes:
    data = read(name)
    if sha256_of(data) != expected_sha256:
        raise StoreError(f"The evidence {where}/{name} is not the file that was written (its hash differs).", _RESTORE)
    return data
