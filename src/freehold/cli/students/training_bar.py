"""How far a training run is, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.train.progress import Progress


@contextmanager
def training_bar(*, quiet: bool) -> Generator[Callable[[Progress], None]]:
    """Gives what shows a run's steps, loss, speed, time left and energy on standard error, where somebody looks."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(16), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("", total=None)

        def watch(progress: Progress) -> None:
            bar.update(shown, completed=progress.step, total=progress.steps, description=figures(progress))

        yield watch


def figures(progress: Progress) -> str:
    """Loss, tokens per second, time left and energy, in short."""
    tuned = "" if progress.tune_loss is None else f" (tune {progress.tune_loss:.3f})"
    left = progress.seconds_left
    time_left = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    energy = f"{progress.kilowatt_hours * 1000:.1f} Wh"
    return f"loss {progress.loss:.3f}{tuned} · {progress.tokens_per_second:,.0f} tok/s · {time_left} left · {energy}"
