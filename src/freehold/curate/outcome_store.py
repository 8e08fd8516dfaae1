"""Scored outcomes as a job keeps them between its steps: a Parquet file in the data folder, hashed on both ways.

One row per request: `row` (its trace), `prompt`, `task`, `part` of the evidence, and of each model m `answer_m`,
`score_m` and `cost_m` in dollars.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from freehold.domain.errors import StoreError
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
    columns: dict[str, Any] = {
        "row": list(outcomes.prompt_ids),
        "prompt": list(outcomes.prompts),
        "task": list(outcomes.tasks),
        "part": list(parts),
    }
    for number, _ in enumerate(outcomes.models):
        answers = outcomes.answers[number] if outcomes.answers is not None else [None] * len(outcomes)
        columns[f"answer_{number}"] = pl.Series(list(answers), dtype=pl.String)
        columns[f"score_{number}"] = outcomes.scores[:, number]
        columns[f"cost_{number}"] = outcomes.costs[:, number]
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, compression="zstd")
    body = buffer.getvalue()
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
        frame = pl.read_parquet(io.BytesIO(body))
    except (OSError, PolarsError) as error:
        raise StoreError(f"The outcomes {path} cannot be read: {error}.", _REBUILD) from error
    each = range(len(file.models))
    outcomes = Outcomes(
        prompt_ids=frame.get_column("row").to_list(),
        prompts=frame.get_column("prompt").to_list(),
        tasks=frame.get_column("task").to_list(),
        models=file.models,
        scores=np.stack([frame.get_column(f"score_{number}").to_numpy() for number in each], axis=1),
        costs=np.stack([frame.get_column(f"cost_{number}").to_numpy() for number in each], axis=1),
        answers=tuple(frame.get_column(f"answer_{number}").to_list() for number in each),
        owned=file.owned,
    )
    return outcomes, frame.get_column("part").to_list()
