"""Batches of rows on a Ray cluster, by Ray Data. Needs `pip install freehold[ray]` here and on every node.

The nodes need no access to the store: rows go there and small columns come back. When a node dies, its batches are
looked at again elsewhere, with the same result, since nothing is kept between batches. Ray itself sends functions and
tables as pickles among its nodes: it must be reachable for them alone, with a token (`RAY_AUTH_MODE=token`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, TypeAlias

import polars as pl

from freehold.domain.errors import ConfigError, FreeholdError
from freehold.runners.batches import Work

_Table: TypeAlias = Any
"""A pyarrow Table: neither Ray nor Arrow say their types."""
_PLACE = "__place"
"""Column with a row's number: batches come back in any order."""
_HINT = "Start one (`ray start --head`), name it under [runner], and give its token in RAY_AUTH_TOKEN."


class RayBatches:
    """Does work on a cluster, in tasks of so many rows."""

    def __init__(self, address: str, batch_rows: int) -> None:
        """`address`: of the cluster, HOST:PORT; empty: what RAY_ADDRESS says.

        Raises:
            ConfigError: Ray is not installed, no cluster is named, or it cannot be reached.
        """
        self._batch_rows = batch_rows
        connect(address or os.environ.get("RAY_ADDRESS", ""))

    def map(self, work: Work, what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
        """See `Batches.map`; a cluster that is lost meanwhile is a FreeholdError."""
        from ray.exceptions import RayError

        placed = rows.with_row_index(_PLACE)
        starts = range(0, max(1, rows.height), self._batch_rows)
        blocks = [_to_arrow(placed.slice(start, self._batch_rows)) for start in starts]
        try:
            done = [_from_arrow(table) for table in _map_on_cluster(blocks, work, what, known)]
        except RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, FreeholdError):
                raise cause from error
            raise FreeholdError(
                f"The Ray cluster failed: {str(error).strip().splitlines()[-1]}", "Look at its logs, and run it again."
            ) from error
        return pl.concat(done).sort(_PLACE).drop(_PLACE)


def _map_on_cluster(blocks: list[_Table], work: Work, what: bytes, known: pl.DataFrame | None) -> Iterator[_Table]:
    ray: Any = import_module("ray")
    data: Any = import_module("ray.data")
    data.DataContext.get_current().enable_progress_bars = False
    shared = ray.put(None if known is None else _to_arrow(known))
    arguments = {"work": work, "what": what, "known": shared}
    batches = data.from_arrow(blocks).map_batches(
        _look_at, batch_size=None, batch_format="pyarrow", fn_kwargs=arguments
    )
    return batches.iter_batches(batch_size=None, batch_format="pyarrow")


def _look_at(table: _Table, work: Work, what: bytes, known: Any) -> _Table:
    """One batch, on a node of the cluster."""
    ray: Any = import_module("ray")
    shared = ray.get(known)
    rows = _from_arrow(table)
    done = work(what, rows.drop(_PLACE), None if shared is None else _from_arrow(shared))
    return _to_arrow(done.with_columns(rows.get_column(_PLACE)))


def connect(address: str) -> None:
    """Connect this process to the cluster at HOST:PORT, unless it is connected.

    Raises:
        ConfigError: Ray is not installed, no cluster is named, or it cannot be reached.
    """
    if address.startswith(("127.", "localhost")):
        # Else Ray takes a loopback address for this machine's address in the network, where a local cluster is not.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise ConfigError("The runner is Ray, which is not installed.", "Run `pip install freehold[ray]`.") from error
    if ray.is_initialized():
        return
    if not address:
        raise ConfigError("The runner is Ray, and no cluster is named.", _HINT)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"There is no Ray cluster at {address} that lets us in: {error}", _HINT) from error


def _to_arrow(frame: pl.DataFrame) -> _Table:
    untyped: Any = frame
    return untyped.to_arrow(compat_level=pl.CompatLevel.oldest())


def _from_arrow(table: _Table) -> pl.DataFrame:
    untyped: Any = pl
    return untyped.from_arrow(table)
