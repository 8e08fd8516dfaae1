"""The seam: where a function of a table's rows runs, batch by batch. Here: in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import polars as pl

Work: TypeAlias = "Callable[[bytes, pl.DataFrame, pl.DataFrame | None], pl.DataFrame]"
"""Of what it shall do, a batch of rows, and what it must know of all of them: gives as many rows, in the same order. It
is a function of a module, which another machine can import, and keeps nothing from one batch to the next."""


class Batches(Protocol):
    """Does work on the rows of a table, in batches."""

    def map(self, work: Work, what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
        """The batches' results, in the order of the rows.

        Raises:
            FreeholdError: as `work` does, or there is nowhere for it to run.
        """
        ...


class LocalBatches:
    """Does it in this process, one batch after the other, so that memory is needed for one batch's work at a time."""

    def __init__(self, batch_rows: int) -> None:
        self._batch_rows = batch_rows

    def map(self, work: Work, what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
        """See `Batches.map`."""
        import polars as pl

        starts = range(0, max(1, rows.height), self._batch_rows)
        return pl.concat([work(what, rows.slice(start, self._batch_rows), known) for start in starts])
