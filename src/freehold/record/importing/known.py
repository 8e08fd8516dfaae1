"""Ids that are stored already: 16 bytes each, looked up by many at once. Needs numpy and polars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freehold.domain.traces import Feedback
from freehold.store.traces.delta import collect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freehold.store import Store

_MERGED_FROM = 200_000
"""So many new ids and they join the sorted ones."""
_DIGITS = 32
"""Of an id's hash, in hexadecimal."""
_PAIR = np.dtype([("high", np.uint64), ("low", np.uint64)])


class KnownIds:
    """A set of ids of traces and feedback that grows; only ids whose hash has 128 bits, as all imported ones' have."""

    def __init__(self, ids: pl.Series | None = None) -> None:
        self._sorted = _pairs(pl.Series([], dtype=pl.String) if ids is None else ids)
        self._new: set[str] = set()

    @classmethod
    def of(cls, store: Store) -> KnownIds:
        """The ids of all that was ever imported into a store, sealed or not.

        Raises:
            StoreError: a table or a journal cannot be read.
        """
        # The journals are read first: a record sealed meanwhile is then in both.
        fresh = list(_unsealed(store))
        traces = collect(store.traces.scan().filter(pl.col("source") != "").select("trace_id"))
        feedback = collect(store.feedback.scan().select("feedback_id"))
        sealed = pl.concat([traces.to_series(), feedback.to_series().rename("trace_id")])
        known = cls(sealed)
        known.add(fresh)
        return known

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)

    def fresh(self, ids: Sequence[str]) -> list[bool]:
        """For each id whether it is not known; of equal ones the first only."""
        wanted = _pairs_in_order(ids)
        high = self._sorted["high"]
        begin, end = (np.searchsorted(high, wanted["high"], side=side) for side in ("left", "right"))
        found: list[bool] = []
        seen: set[str] = set()
        for index, name in enumerate(ids):
            among = self._sorted["low"][begin[index] : end[index]]
            old = bool((among == wanted["low"][index]).any()) if len(among) else False
            found.append(not old and name not in self._new and name not in seen)
            seen.add(name)
        return found

    def add(self, ids: Iterable[str]) -> None:
        """These are known now."""
        self._new.update(ids)
        if len(self._new) >= _MERGED_FROM:
            more = _pairs(pl.Series(list(self._new), dtype=pl.String))
            merged = np.concatenate([self._sorted, more])
            self._sorted = merged[np.argsort(merged["high"], kind="stable")]
            self._new = set()


def _unsealed(store: Store) -> Iterable[str]:
    table = store.traces.snapshot()
    for journal in store.journals():
        for _, record in journal.records(table.sealed_position(journal.worker)):
            if isinstance(record, Feedback):
                yield record.feedback_id
            elif record.source:
                yield record.trace_id


def _pairs(ids: pl.Series) -> NDArray[np.void]:
    pairs = _pairs_in_order(ids)
    return pairs[np.argsort(pairs["high"], kind="stable")]


def _pairs_in_order(ids: Sequence[str] | pl.Series) -> NDArray[np.void]:
    """The two halves of each id's hash; ids that have none are no imported ones, and are zero."""
    digits = pl.Series("id", ids, dtype=pl.String).str.extract(r"_([0-9a-f]{32})$", 1).fill_null("0" * _DIGITS)
    half = _DIGITS // 2
    pairs = np.zeros(len(digits), dtype=_PAIR)
    for name, start in (("high", 0), ("low", half)):
        pairs[name] = digits.str.slice(start, half).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    return pairs
