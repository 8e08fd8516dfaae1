"""Length: rows whose prompt or answer is too short or too long go."""

from __future__ import annotations

import polars as pl

from freehold.config.curate_settings import Length
from freehold.curate.steps.base import Chosen, Scope


class LengthStep:
    """Keeps rows within limits, counted in characters."""

    name = "length"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Length) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_prompt_length` and `_answer_length`."""
        return rows.select(
            _prompt_length=pl.col("prompt").str.len_chars(), _answer_length=pl.col("answer").str.len_chars()
        )

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """The first limit that is broken is the reason."""
        limits = self._settings
        prompt, answer = pl.col("_prompt_length"), pl.col("_answer_length")
        reasons = rows.select(
            pl.when(prompt < limits.min_prompt)
            .then(pl.lit("prompt too short"))
            .when(prompt > limits.max_prompt)
            .then(pl.lit("prompt too long"))
            .when(answer < limits.min_answer)
            .then(pl.lit("answer too short"))
            .when(answer > limits.max_answer)
            .then(pl.lit("answer too long"))
        ).to_series()
        return Chosen(reasons.is_null(), reasons)
