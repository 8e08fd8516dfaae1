"""Takes forgotten rows out of the tables, and their files off the disk at once. Needs polars."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import polars as pl

from freehold.domain.errors import StoreError
from freehold.record.forgetting.select import Asked, Selection
from freehold.store.traces.messages import drop_unreferenced

if TYPE_CHECKING:
    from freehold.store import Store

Place = Literal["feedback", "traces"]
PLACES: tuple[Place, ...] = ("feedback", "traces")
"""In the order that rows are removed: the traces say what is to go, and go after all that belongs to them. Messages of
agent runs, which several traces share, go once no trace that is left refers to them."""


def delete_rows(store: Store, place: Place, asked: Asked, chosen: Selection) -> int:
    """Rewrite the files that hold such rows, in one commit; returns how many rows are gone. Hold the sealer's lock.

    Raises:
        StoreError: the table cannot be read or written.
    """
    if place == "feedback":
        return store.feedback.delete(
            pl.col("feedback_id").is_in(pl.Series(chosen.feedback_ids, dtype=pl.String).implode())
        )
    ids = pl.Series(chosen.trace_ids, dtype=pl.String).implode()
    return store.traces.delete(pl.col("trace_id").is_in(ids) | asked.condition.fill_null(False))


def drop_messages(store: Store, episodes: Sequence[str]) -> int:
    """Take out the messages of these agent runs that no trace refers to any more; returns how many.

    Raises:
        StoreError: the tables cannot be read or written.
    """
    return drop_unreferenced(store, episodes) if episodes else 0


def purge_tables(store: Store) -> None:
    """Remove the files that the tables no longer consist of, and sums over them, which are worked out again.

    Raises:
        StoreError: they cannot be removed.
    """
    try:
        shutil.rmtree(store.summaries_root)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"{store.summaries_root} cannot be removed: {error.strerror}.", "Check the folder.") from error
    store.traces.purge()
    store.feedback.purge()
    store.messages.purge()
