"""The same text, after folding what does not matter."""

from __future__ import annotations

import unicodedata

from freehold.domain.answers import normalise
from freehold.domain.scoring import ExactScorer, Score, scored
from freehold.scorers.base import shown


def fold(scorer: ExactScorer, text: str) -> str:
    """The form in which texts are compared: canonical JSON of an object; Unicode NFC; then what the scorer folds."""
    try:
        text = normalise(text)
    except RecursionError:  # JSON nested too deeply to write again is compared as text
        text = text.strip()
    text = unicodedata.normalize("NFC", text)
    if scorer.fold_case:
        text = unicodedata.normalize("NFC", text.casefold())
    if scorer.fold_punctuation:
        text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))
    return " ".join(text.split()) if scorer.fold_space else text


def score_exact(scorer: ExactScorer, answer: str, reference: str) -> Score:
    """1 if both fold to the same text, else 0."""
    if answer == reference or fold(scorer, answer) == fold(scorer, reference):
        return scored(1.0, "The same as the reference.")
    return scored(0.0, f"{shown(answer.strip())} is not {shown(reference.strip())}.")
