"""The one shape that every step of curating has: an expensive part that looks at each row by itself, and a cheap one
that looks at all of them and decides.

What may certify is drawn fairly from a task's traffic, and nothing may choose among it. So a step's choices reach rows
to fit and to tune on only, unless its `scope` is `all`: `freehold.curate.pipeline` sees to it, whatever a step says.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl

Scope = Literal["training", "all"]
"""`training`: rows to fit and to tune on. `all`: certify rows too, for steps that decide by the time of a row alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """What a step decided about rows, each series in the rows' order and as long."""

    keep: pl.Series
    """Boolean: which rows stay."""
    reasons: pl.Series
    """String: why each other goes; null for those that stay."""
    set: dict[str, pl.Series] = dataclasses.field(default_factory=dict[str, "pl.Series"])
    """Column → its new values (for rows that stay)."""


class Step(Protocol):
    """One step. It has no state and depends on its settings and the rows alone, which come sorted by (at_ns, row)."""

    @property
    def name(self) -> str:
        """As the settings call it."""
        ...

    @property
    def scope(self) -> Scope:
        """Which rows it may take away or change."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that `choose` looks at, besides those that `measure` adds."""
        ...

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The expensive part, of a batch of rows: columns to add or to replace, of the same height and order.

        A row's result depends on that row alone, however rows are batched: it may run on another machine.
        """
        ...

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """The cheap part, over all rows: which of them stay."""
        ...


@runtime_checkable
class KnowingStep(Protocol):
    """A step whose expensive part must know something of all rows first, such as which texts are held out.

    `measure` is then given what `learn` found; all else is as in `Step`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scope(self) -> Scope: ...  # noqa: D102
    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102

    def learn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What `measure` must know of all rows, small enough to be sent to every machine."""
        ...

    def measure_knowing(self, rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """As `Step.measure`."""
        ...

    def choose(self, rows: pl.DataFrame) -> Chosen: ...  # noqa: D102


AnyStep = Step | KnowingStep


def nothing_measured(rows: pl.DataFrame) -> pl.DataFrame:
    """Of a step that has no expensive part: as many rows, and a column that nobody looks at."""
    import polars as pl

    return pl.DataFrame({"_nothing": pl.repeat(0, rows.height, dtype=pl.Int8, eager=True)})


def kept_where(keep: pl.Series, reason: str) -> Chosen:
    """Keep rows where `keep`; all others go for one reason."""
    import polars as pl

    reasons = pl.select(pl.when(keep).then(None).otherwise(pl.lit(reason))).to_series()
    return Chosen(keep, reasons.cast(pl.String))


def kept_all(rows: pl.DataFrame, **columns: pl.Series) -> Chosen:
    """Keep all rows, and set columns."""
    import polars as pl

    return Chosen(
        pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True),
        pl.repeat(None, rows.height, dtype=pl.String, eager=True),
        columns,
    )
