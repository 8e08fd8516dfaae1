"""Whose feedback is not listened to: keys that contradict what all others say far more often than these each other."""

from __future__ import annotations

import polars as pl

from freehold.config.poisoning_settings import FeedbackTrust
from freehold.curate.poisoning.claims import NEEDS, claims
from freehold.curate.steps.base import Chosen, Scope, kept_all

_JUDGED = ("score", "label", "edit")


class FeedbackTrustStep:
    """Takes the scores, labels and edits of such keys away; their rows stay."""

    name = "feedback-trust"
    scope: Scope = "training"
    needs = NEEDS

    def __init__(self, settings: FeedbackTrust) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Nothing: what a key is held against are the rows of all others."""
        return rows.select()

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Keeps all rows; see `freehold.curate.poisoning.keys` for the test."""
        from freehold.curate.poisoning.consensus import find_consensus
        from freehold.curate.poisoning.keys import judge_keys

        claimed = claims(rows)
        ours = self._settings
        found = judge_keys(
            claimed,
            find_consensus(claimed).contradicted,
            level=ours.false_discoveries,
            min_judged=ours.min_judged,
            min_excess=ours.min_excess,
        )
        named = rows.get_column("key").is_in([item.key for item in found if item.named]).fill_null(False)
        silent = {
            name: pl.select(pl.when(named).then(None).otherwise(rows.get_column(name))).to_series() for name in _JUDGED
        }
        return kept_all(rows, **silent)
