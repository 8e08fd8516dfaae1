"""How alike two texts are, without a model: character n-grams or words.

chrF: M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015; β = 2 as recommended in
M. Popović, "chrF deconstructed: beta parameters and n-gram weights", WMT 2016. Token F1: P. Rajpurkar et al., "SQuAD:
100,000+ questions for machine comprehension of text", EMNLP 2016 (its F1, here without dropping articles, which is
English only).

Both measure likeness, not truth: "costs 10" and "costs 90" are much alike.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from freehold.domain.scoring import Score, TextScorer, scored
from freehold.scorers.base import Unusable

ORDERS = 6
BETA = 2.0
MAX_TEXT = 50_000
"""Longer texts are not compared: the n-grams of one are several times its size."""


def score_text(scorer: TextScorer, answer: str, reference: str) -> Score:
    """The F-score of the answer against the reference; an empty answer to a reference with text scores 0."""
    if max(len(answer), len(reference)) > MAX_TEXT:
        raise Unusable(f"A text is longer than the {MAX_TEXT:,} characters that are compared.")
    if not reference.strip():
        raise Unusable("The reference is empty.")
    value = chrf(answer, reference) if scorer.measure == "chrf" else token_f1(answer, reference)
    name = "chrF (characters)" if scorer.measure == "chrf" else "F1 (words)"
    return scored(value, f"{name} {value:.2f} against the reference.")


def chrf(answer: str, reference: str) -> float:
    """chrF with n = 1 … 6 and β = 2, white space left out.

    Precision and recall are averaged over the orders that both texts are long enough for, then combined: the figures
    are those of sacreBLEU's `sentence_chrf`.
    """
    given, wanted = "".join(answer.split()), "".join(reference.split())
    if given == wanted:
        return 1.0
    precision = recall = 0.0
    orders = min(ORDERS, len(given), len(wanted))
    for n in range(1, orders + 1):
        ours, theirs = _grams(given, n), _grams(wanted, n)
        common = (ours & theirs).total()
        precision += common / max(1, ours.total())
        recall += common / max(1, theirs.total())
    return _f(precision / orders, recall / orders, BETA) if orders else 0.0


def token_f1(answer: str, reference: str) -> float:
    """F1 of the words, case and punctuation folded."""
    ours, theirs = _words(answer), _words(reference)
    if ours == theirs:
        return 1.0
    common = (ours & theirs).total()
    return _f(common / max(1, ours.total()), common / max(1, theirs.total()), 1.0)


def _f(precision: float, recall: float, beta: float) -> float:
    weighted = beta * beta * precision + recall
    return min(1.0, (1 + beta * beta) * precision * recall / weighted) if weighted else 0.0


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[at : at + n] for at in range(len(text) - n + 1))


def _words(text: str) -> Counter[str]:
    folded = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in text.casefold())
    return Counter(folded.split())
