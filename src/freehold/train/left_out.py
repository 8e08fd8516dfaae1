"""Why a row is shown to no generative student, and how many there were: as metrics of the student, and in words."""

from __future__ import annotations

from collections.abc import Mapping

TOO_LONG = "longer than the context"
SPECIAL_INSIDE = "holds a special token of the tokenizer"
NOTHING = "nothing to learn"
REFUSED = "the chat template does not take it"
BY_ANSWER = "the template writes its prompt by its answer"
METRICS = {
    TOO_LONG: "left_out_long",
    SPECIAL_INSIDE: "left_out_special",
    NOTHING: "left_out_nothing",
    REFUSED: "left_out_refused",
    BY_ANSWER: "left_out_by_answer",
}
"""Reason → the metric of a student that counts such."""


def counted(left_out: Mapping[str, int]) -> dict[str, float]:
    """Why how many were left out, as metrics; none for reasons that nothing was left out for."""
    return {METRICS[reason]: float(count) for reason, count in left_out.items() if count}


def in_words(metrics: Mapping[str, float]) -> str:
    """What a student did not learn from, as a sentence; empty where that is nothing."""
    counts = {reason: round(metrics[name]) for reason, name in METRICS.items() if name in metrics}
    told = [f"{n:,} {'example' if n == 1 else 'examples'} left out: {reason}" for reason, n in counts.items()]
    return f"{'; '.join(told)}." if told else ""
