"""What each virtual key used, from the traces. Needs polars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from freehold.store.traces.read import Derive, read_traces

if TYPE_CHECKING:
    from freehold.store import Store

_COLUMNS = ("at_ns", "key", "answered_by", "input_tokens", "output_tokens", "cost_nanousd", "cached", "source")
_NANO = 1_000_000_000


class Used(NamedTuple):
    """Requests of callers, their tokens in and out, and what they cost in dollars. From the cache they cost nothing."""

    requests: int
    tokens: int
    dollars: float


class KeyUsage(NamedTuple):
    """The most dollars first; days in order."""

    keys: dict[str, Used]
    """By key id."""
    days: dict[str, Used]
    """By UTC day, of all keys together."""

    def by_team(self, teams: Mapping[str, str]) -> dict[str, Used]:
        """Added up over the keys of each team; `teams`: key id → team id."""
        sums: dict[str, Used] = {}
        for key, used in self.keys.items():
            if key in teams:
                before = sums.get(teams[key], Used(0, 0, 0.0))
                sums[teams[key]] = Used(
                    before.requests + used.requests, before.tokens + used.tokens, before.dollars + used.dollars
                )
        return dict(sorted(sums.items(), key=lambda item: -item[1].dollars))


def usage(store: Store, since_ns: int, *, derive: Derive | None = None) -> KeyUsage:
    """What keys used since a moment; requests without a key are not counted.

    Args:
        store: where the traces are.
        since_ns: earliest, unix nanoseconds.
        derive: `freehold.record.derive.Deriver`, to count traces that are not sealed yet, too.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    traces = read_traces(store, since_ns=since_ns, kinds=("request",), columns=_COLUMNS, derive=derive)
    rows = traces.filter(pl.col("key").is_not_null() & (pl.col("key") != "") & (pl.col("source") == ""))
    day = pl.from_epoch(pl.col("at_ns"), time_unit="ns").dt.strftime("%Y-%m-%d")
    keys = _sums(rows, pl.col("key")).sort(["nano", "requests"], descending=True)
    return KeyUsage(_used(keys), _used(_sums(rows, day).sort("group")))


def _sums(rows: pl.DataFrame, group: pl.Expr) -> pl.DataFrame:
    paid = ~pl.col("cached").fill_null(False)
    tokens = pl.col("input_tokens") + pl.col("output_tokens")
    return rows.group_by(group.alias("group")).agg(
        requests=pl.len(),
        tokens=tokens.filter(paid).sum(),
        nano=pl.col("cost_nanousd").filter(paid).sum(),
    )


def _used(sums: pl.DataFrame) -> dict[str, Used]:
    return {
        row["group"]: Used(row["requests"], row["tokens"], row["nano"] / _NANO) for row in sums.iter_rows(named=True)
    }
