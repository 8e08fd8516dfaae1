"""Caps on influence: no one key, subject or source makes up more than a share of the rows, or of the feedback.

Which rows of one above its cap stay is drawn by a hash of the row, so that neither a flood nor its order decides. Only
values beside enough others are capped: where there are too few to share the rows among (one tenant, no keys, two
sources), the cap could not be met by anything but throwing most rows away.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freehold.config.poisoning_settings import Influence
from freehold.curate.steps.base import Chosen, Scope

if TYPE_CHECKING:
    from numpy.typing import NDArray

_JUDGED = ("score", "label", "edit")


class InfluenceStep:
    """Takes rows, and the feedback of rows, of whoever has too many away."""

    name = "influence"
    scope: Scope = "training"

    def __init__(self, settings: Influence) -> None:
        self._settings = settings

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that are capped, and feedback."""
        return (*self._settings.by, *_JUDGED)

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_draw`: a number from the row's id, by which rows are drawn."""
        draws = [_draw(row) for row in rows.get_column("row").to_list()]
        return pl.DataFrame({"_draw": pl.Series(draws, dtype=pl.UInt64)})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Caps one column after the other, each over what the one before left."""
        free = (rows.get_column("part") != "certify").to_numpy()
        draws = rows.get_column("_draw").to_numpy()
        keep = np.ones(rows.height, np.bool_)
        reasons = np.full(rows.height, None, dtype=object)
        for column in self._settings.by:
            over = _over(rows.get_column(column), keep & free, draws, self._settings.max_share)
            reasons[over] = f"over the share of one {column}"
            keep &= ~over
        judged = rows.select(pl.any_horizontal(pl.col(name).is_not_null() for name in _JUDGED)).to_series().to_numpy()
        unheard = np.zeros(rows.height, np.bool_)
        for column in self._settings.by:
            heard = keep & free & judged & ~unheard
            unheard |= _over(rows.get_column(column), heard, draws, self._settings.max_feedback_share)
        silent = pl.Series(unheard)
        columns = {
            name: pl.select(pl.when(silent).then(None).otherwise(rows.get_column(name))).to_series() for name in _JUDGED
        }
        return Chosen(pl.Series(keep), pl.Series(reasons.tolist(), dtype=pl.String), columns)


def cap_of(counts: list[int], others: int, share: float) -> int | None:
    """The most rows that one value may keep so that none has more than `share` of what is left; None: no cap.

    Args:
        counts: rows of each value.
        others: rows without a value, which are never capped.
        share: in (0, 1).
    """
    if (len(counts) + (others > 0)) * share < 1.0:
        return None
    ordered = sorted(counts)
    below = others
    for place, count in enumerate(ordered):
        above = len(ordered) - place  # were all from here on cut to c: c = share · (below + above · c)
        room = 1.0 - share * above
        if room > 0 and (limit := share * below / room) < count:
            return int(limit)
        below += count
    return None


def _over(values: pl.Series, among: NDArray[np.bool_], draws: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Which of the rows `among` go, so that no value has more than `share` of those that stay."""
    over = np.zeros(len(values), np.bool_)
    frame = pl.DataFrame({"value": values, "draw": draws}).with_row_index("at").filter(pl.Series(among))
    named = frame.filter(pl.col("value").is_not_null() & (pl.col("value") != ""))
    counts = named.group_by("value").len().get_column("len").to_list()
    cap = cap_of(counts, frame.height - named.height, share)
    if cap is not None:
        rank = pl.struct("draw", "at").rank("ordinal").over("value")
        over[named.filter(rank > cap).get_column("at").to_numpy()] = True
    return over


def _draw(row: str) -> int:
    return int.from_bytes(hashlib.blake2b(row.encode(), digest_size=8, person=b"influence").digest(), "big")
