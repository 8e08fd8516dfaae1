"""Rows in, rows out: the steps of curating in order, each counted.

What may certify is drawn fairly, and stays so: whatever a step says of certify rows is not done unless its scope allows
it (see `freehold.curate.steps.base`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from freehold.config.curate_settings import CurateStep
from freehold.curate.steps import AnyStep, KnowingStep, make_step
from freehold.domain.errors import ConfigError
from freehold.domain.evidence import StepCount

if TYPE_CHECKING:
    from freehold.runners import Batches

ALWAYS = ("row", "at_ns", "part")
"""Columns that every step is given to choose by, besides those it needs."""
_SETTABLE = frozenset(
    ("prompt", "answer", "answered_by", "terms", "verdict", "origin", "part", "label", "edit", "score")
)
GONE = ("row", "part", "step", "reason")
_canonical = msgspec.json.Encoder(order="sorted")


@dataclasses.dataclass(frozen=True, slots=True)
class Curated:
    """What came of the rows."""

    rows: pl.DataFrame
    """Those that stay, sorted by (at_ns, row)."""
    left_out: pl.DataFrame
    """`row`, `part`, `step`, `reason` of each that went."""
    steps: tuple[StepCount, ...]


def no_secret() -> bytes:
    """Where no pseudonyms are to be made.

    Raises:
        ConfigError: always.
    """
    raise ConfigError("There is no secret that pseudonyms could be drawn with.", 'Use `mode = "mask"`.')


def run_pipeline(
    rows: pl.DataFrame,
    steps: Sequence[CurateStep],
    batches: Batches,
    secret: Callable[[], bytes] = no_secret,
) -> Curated:
    """Put candidate rows through steps. The result depends on the rows, the steps' settings and the secret alone.

    Args:
        rows: see `freehold.curate.rows`.
        steps: settings of the steps, in order.
        batches: where their expensive parts run.
        secret: gives what pseudonyms are drawn with.

    Raises:
        FreeholdError: as the steps do: a file that is named cannot be read, or a cluster not be reached.
    """
    left_out: list[pl.DataFrame] = []
    counts: list[StepCount] = []
    rows = rows.sort("at_ns", "row")
    for settings in steps:
        before = rows
        rows, gone, count = _run_step(before, make_step(settings, secret), settings, batches)
        left_out.append(gone)
        counts.append(count)
    nothing = pl.DataFrame(schema=dict.fromkeys(GONE, pl.String))
    return Curated(rows, pl.concat([nothing, *left_out]), tuple(counts))


def pipeline_sha256(steps: Sequence[CurateStep]) -> str:
    """SHA-256 of the steps' settings as canonical JSON, defaults included: steps that do the same have the same."""
    return hashlib.sha256(_canonical.encode([_whole(step) for step in steps])).hexdigest()


def _whole(step: CurateStep) -> dict[str, object]:
    tag = msgspec.to_builtins(step)["step"]
    return {"step": tag, **{name: getattr(step, name) for name in step.__struct_fields__}}


def measure_batch(what: bytes, rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
    """The expensive part of a step (its settings as JSON), of one batch: what `freehold.runners.Batches` carry out."""
    step = make_step(msgspec.json.decode(what, type=CurateStep), no_secret)
    if isinstance(step, KnowingStep):
        assert known is not None
        return step.measure_knowing(rows, known)
    return step.measure(rows)


def _run_step(
    rows: pl.DataFrame, step: AnyStep, settings: CurateStep, batches: Batches
) -> tuple[pl.DataFrame, pl.DataFrame, StepCount]:
    """The rows that stay, the rows that went, and the count."""
    known = step.learn(rows) if isinstance(step, KnowingStep) else None
    measured = batches.map(measure_batch, msgspec.json.encode(settings), rows, known)
    texts = [name for name in measured.columns if name in _SETTABLE]
    small = measured.drop(texts)
    # Certify rows are measured as well, because others are compared with them, and left as they are.
    free = rows.select((pl.col("part") != "certify") | (step.scope == "all")).to_series()
    result = _set(step, rows, {name: measured.get_column(name) for name in texts}, free)
    chosen = step.choose(result.select(*{*ALWAYS, *step.needs}).hstack(small))
    keep = chosen.keep | ~free
    result = _set(step, result, chosen.set, free)
    differs = result.select(
        pl.any_horizontal(pl.col(name).ne_missing(rows.get_column(name)) for name in sorted(_SETTABLE))
    ).to_series()
    result = result.with_columns(changed=_noted(step.name, result.get_column("changed"), differs))
    gone = result.with_columns(reason=chosen.reasons, step=pl.lit(step.name)).filter(~keep)
    reasons = gone.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    count = StepCount(
        step=step.name,
        took=rows.height,
        gave=rows.height - gone.height,
        reasons={str(reason): int(number) for reason, number in reasons.iter_rows()},
        changed=int((differs & keep).sum()),
    )
    return result.filter(keep), gone.select(*GONE), count


def _set(step: AnyStep, rows: pl.DataFrame, columns: Mapping[str, pl.Series], free: pl.Series) -> pl.DataFrame:
    """The rows with new values in `columns` where `free`."""
    for name in columns:
        assert name in _SETTABLE, f"{step.name} sets {name}, which no step may"
    return rows.with_columns(
        pl.when(free).then(values.cast(rows.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, values in columns.items()
    )


def _noted(name: str, noted: pl.Series, differs: pl.Series) -> pl.Series:
    """The names of the steps that changed each row, with this one's where it did."""
    frame = pl.DataFrame({"noted": noted, "differs": differs})
    more = pl.when(pl.col("noted") == "").then(pl.lit(name)).otherwise(pl.col("noted") + f",{name}")
    return frame.select(pl.when("differs").then(more).otherwise("noted")).to_series()
