"""What each row's feedback claims the right answer is, or is not."""

from __future__ import annotations

import polars as pl

WRONG_BELOW = 0.5
"""A score under this says that the answer is wrong."""
NEEDS = ("row", "key", "prompt", "answer", "score", "label", "edit")


def claims(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each row, in order: `row`, `key` (null: the organisation's own), `prompt`, `answer`, and

    - `judged`: whether there is feedback that claims something;
    - `right`: what is claimed to be the right answer: the edit, the label, or the answer itself where it is approved or
      nobody judged it; null where it is only said to be wrong.

    Args:
        rows: candidate rows (`freehold.curate.rows`).
    """
    said = pl.coalesce(pl.col("edit"), pl.col("label")).str.strip_chars()
    refused = (pl.col("score") < WRONG_BELOW).fill_null(False)
    own = pl.when(refused).then(None).otherwise(pl.col("answer").str.strip_chars())
    return rows.select(
        "row",
        "key",
        "prompt",
        pl.col("answer").str.strip_chars(),
        judged=said.is_not_null() | pl.col("score").is_not_null(),
        right=pl.coalesce(said, own),
    )
