"""Evaluations and the examples beside them: `evaluations/ID/examples.parquet`, whose hash the stored document carries.

The file holds what callers asked and what was answered, hence lies where `freehold forget` looks. One that is gone was
forgotten, and the figures stay.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.errors import StoreError
from freehold.domain.evaluations import Evaluation, Example
from freehold.store.artifacts import sha256_of, write_folder

if TYPE_CHECKING:
    from freehold.store import Store

EXAMPLES = "examples.parquet"


def keep_evaluation(store: Store, evaluation: Evaluation, examples: Sequence[Example] = ()) -> Evaluation:
    """Store an evaluation, and its examples if there are any; returns it as stored.

    Raises:
        Conflict: there is one of this id already, and it is another.
        StoreError: it cannot be stored.
    """
    if examples:
        data = _parquet(examples)
        folder = store.evaluations_root / evaluation.evaluation_id
        write_folder(folder, {EXAMPLES: data}, EXAMPLES)
        path = folder.relative_to(store.data).as_posix()
        evaluation = msgspec.structs.replace(evaluation, path=path, sha256=sha256_of(data))
    store.control.evaluations.put(evaluation)
    return evaluation


def read_examples(store: Store, evaluation: Evaluation) -> list[Example] | None:
    """The examples of an evaluation; None if they were forgotten, an empty list if it never had any.

    Raises:
        StoreError: the file cannot be read, or is not the one that was written.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    if not evaluation.path:
        return []
    path = store.data / evaluation.path / EXAMPLES
    try:
        data = path.read_bytes()
        rows = pl.read_parquet(io.BytesIO(data)).rows(named=True)
        found = msgspec.convert(rows, list[Example])
    except FileNotFoundError:
        return None
    except (OSError, PolarsError, msgspec.ValidationError) as error:
        raise StoreError(f"The examples {path} cannot be read: {error}.", "Put them back from a backup.") from error
    if sha256_of(data) != evaluation.sha256:
        raise StoreError(f"The examples {path} are not those that were written.", "Put them back from a backup.")
    return found


def _parquet(examples: Sequence[Example]) -> bytes:
    import polars as pl

    known: dict[Any, Any] = {bool: pl.Boolean, float | None: pl.Float64}
    types = {field.name: known.get(field.type, pl.String) for field in msgspec.structs.fields(Example)}
    columns = {name: [getattr(example, name) for example in examples] for name in types}
    buffer = io.BytesIO()
    pl.DataFrame(columns, schema=types).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
