"""Paired differences over all samples and over slices of them, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.domain.errors import EvidenceError
from freehold.domain.evaluations import Compared, Costs, Difference, Slice
from freehold.domain.evidence import Part
from freehold.evaluate.comparison.rows import Row
from freehold.evaluate.comparison.slices import Group, groups
from freehold.stats.paired import paired_interval, worse_p_value

DELTA = 0.05
SMALL = 30
"""Fewer samples in a slice say little, whatever their mean."""


def compare(
    rows: Sequence[Row],
    *,
    exact: bool,
    in_force: str = "",
    costs: Costs | None = None,
    certificate: str = "",
    delta: float = DELTA,
) -> Compared:
    """Compare the candidate with the incumbent and with the student in force, over all rows and slice by slice.

    Each interval holds by itself at 1 − δ (`freehold.stats.paired`). Among many slices some will look bad by chance: a
    slice is flagged only where its difference is below 0 at δ over the number of slices (Bonferroni).

    Args:
        rows: held-out samples of one part, with all answers.
        exact: scores are only 0 or 1 (`is_exact`).
        in_force: the student in force, for the record.
        costs: what is known of costs.
        certificate: the one that rests on these rows, where they are certify rows. They may then be shown, and choose
            nothing: neither this student over another, nor its thresholds.
        delta: of each interval.

    Raises:
        EvidenceError: no rows; rows of several parts or of the fit part; certify rows without a certificate; or only
            some rows have an answer of a student in force.
    """
    part = _part(rows, certificate)
    found = [Group("all", "all samples", tuple(rows)), *groups(rows)]
    return Compared(
        part=part,
        in_force=in_force,
        confidence=1.0 - delta,
        slices=tuple(_slice(group, exact, delta, len(found)) for group in found),
        costs=costs or Costs(),
        unscored=sum(row.candidate.unscored or row.incumbent.unscored for row in rows),
    )


def _part(rows: Sequence[Row], certificate: str) -> Part:
    parts: set[Part] = {row.sample.part for row in rows}
    if len({row.in_force is None for row in rows}) > 1:
        raise EvidenceError("Only some samples have an answer of the student in force.", "Ask it about all of them.")
    if len(parts) != 1 or "fit" in parts:
        raise EvidenceError(
            f"{len(rows)} rows of {' and '.join(sorted(parts)) or 'no'} parts cannot be compared on.",
            "Compare on the tune rows of one dataset.",
        )
    if "certify" in parts and not certificate:
        raise EvidenceError(
            "Certify rows were to be compared on before a certificate rests on them.",
            "Compare on tune rows; certify rows may be shown after `freehold certify`, and choose nothing.",
        )
    (part,) = parts
    return part


def _slice(group: Group, exact: bool, delta: float, slices: int) -> Slice:
    rows = group.rows
    in_force = [row.in_force.score for row in rows if row.in_force is not None]
    before = [difference for row in rows if (difference := row.against_in_force) is not None]
    return Slice(
        by=group.by,
        name=group.name,
        rows=len(rows),
        small=len(rows) < SMALL,
        candidate=_mean([row.candidate.score for row in rows]),
        incumbent=_mean([row.incumbent.score for row in rows]),
        in_force=_mean(in_force) if in_force else None,
        taken=_mean([float(row.candidate.taken) for row in rows]),
        against_incumbent=_difference([row.against_incumbent for row in rows], exact, delta, slices),
        against_in_force=_difference(before, exact, delta, slices) if before else None,
    )


def _difference(values: list[float], exact: bool, delta: float, slices: int) -> Difference:
    lower, upper = paired_interval(values, delta, exact=exact)
    return Difference(
        mean=_mean(values),
        lower=lower,
        upper=upper,
        better=sum(value > 0 for value in values),
        worse=sum(value < 0 for value in values),
        flagged=upper < 0 and worse_p_value(values, delta / slices, exact=exact) <= delta / slices,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
