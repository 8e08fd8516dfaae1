"""Work on batches that waits until a test lets it go on, and says where it runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import polars as pl

from freehold.curate.pipeline import measure_batch
from freehold.runners import Batches, Work

GO = "go"
_DEADLINE_SECONDS = 90.0


def gated_measure(what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
    """`measure_batch`, once the gate is open; leaves a file named by the node and the batch's first row."""
    import ray

    folder, _, settings = what.partition(b"\0")
    gate = Path(folder.decode())
    context: Any = ray.get_runtime_context()
    (gate / f"{context.get_node_id()}-{rows.get_column('row')[0]}").touch()
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not (gate / GO).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody opened the gate")
        threading.Event().wait(0.05)
    return measure_batch(settings, rows, known)


class GatedBatches:
    """Batches behind a gate: `folder` / GO opens it."""

    def __init__(self, batches: Batches, folder: Path) -> None:
        self._batches = batches
        self._folder = folder

    def map(self, work: Work, what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
        """See `freehold.runners.Batches`."""
        assert work is measure_batch
        return self._batches.map(gated_measure, str(self._folder).encode() + b"\0" + what, rows, known)
