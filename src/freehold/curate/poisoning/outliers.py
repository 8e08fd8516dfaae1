"""Rows unlike all others of a task: answers that nobody else got, lengths far from the usual, lone dissenters among
equal prompts. None of it says that a row is wrong: it says where to look."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

Why = Literal["answer unlike all others", "prompt far from the usual length", "answer far from the usual length",
              "claims another answer than equal prompts of other keys"]  # fmt: skip
FAR = 6.0
"""Robust standard deviations of the logarithm of a length: 1.4826 times the median absolute deviation."""
MIN_SPREAD = 0.1
"""Where nearly all lengths are the same, a spread of 10% is taken."""
STRANGE = 0.9
"""Share of an answer's words that no other row's answer has."""
MIN_WORDS = 3
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


class Outlier(NamedTuple):
    """A row to look at."""

    row: str
    key: str | None
    why: Why
    measure: float
    """How far it is out: standard deviations, share of words, or share of the others that agree."""


def outliers(claimed: pl.DataFrame) -> list[Outlier]:
    """All that stand out, in order of the rows; `claimed`: see `freehold.curate.poisoning.claims`."""
    rows, keys = claimed.get_column("row").to_list(), claimed.get_column("key").to_list()
    prompts, answers = claimed.get_column("prompt").to_list(), claimed.get_column("answer").to_list()
    found: list[tuple[int, Why, float]] = [
        *((at, "prompt far from the usual length", far) for at, far in _far(prompts)),
        *((at, "answer far from the usual length", far) for at, far in _far(answers)),
        *((at, "answer unlike all others", share) for at, share in _strange(answers)),
        *((at, "claims another answer than equal prompts of other keys", share) for at, share in dissenters(claimed)),
    ]
    return [Outlier(rows[at], keys[at], why, measure) for at, why, measure in sorted(found)]


def dissenters(claimed: pl.DataFrame) -> list[tuple[int, float]]:
    """Judged rows whose claim no row of another key with the same prompt shares, and the share that agrees on another.

    Prompts are the same whatever their case, spacing and numbers. At least two other rows must agree, and most do.
    """
    groups: dict[str, list[int]] = {}
    for at, prompt in enumerate(claimed.get_column("prompt").to_list()):
        groups.setdefault(" ".join(_DIGITS.sub("0", prompt.casefold()).split()), []).append(at)
    keys, rights = claimed.get_column("key").to_list(), claimed.get_column("right").to_list()
    judged = claimed.get_column("judged").to_list()
    found: list[tuple[int, float]] = []
    for members in groups.values():
        for at in members if len(members) > 2 else ():
            others = [rights[other] for other in members if keys[other] != keys[at] and rights[other] is not None]
            if not judged[at] or len(others) < 2 or rights[at] in others:
                continue
            agreed = max(others.count(value) for value in set(others)) / len(others)
            if agreed > 0.5:
                found.append((at, agreed))
    return found


def _far(texts: list[str]) -> list[tuple[int, float]]:
    if len(texts) < 20:
        return []
    logs = np.log1p(np.array([len(text) for text in texts], np.float64))
    centre = float(np.median(logs))
    spread = max(1.4826 * float(np.median(np.abs(logs - centre))), MIN_SPREAD)
    away = np.abs(logs - centre) / spread
    return [(int(at), float(away[at])) for at in np.flatnonzero(away > FAR)]


def _strange(answers: list[str]) -> list[tuple[int, float]]:
    words = [frozenset(_WORD.findall(answer.casefold())) for answer in answers]
    rows_with: dict[str, int] = {}
    for found in words:
        for word in found:
            rows_with[word] = rows_with.get(word, 0) + 1
    strange: list[tuple[int, float]] = []
    for at, found in enumerate(words):
        share = sum(rows_with[word] == 1 for word in found) / len(found) if found else 0.0
        if len(found) >= MIN_WORDS and share >= STRANGE:
            strange.append((at, share))
    # Where most answers are free text, words of their own are the rule and nothing stands out.
    return strange if len(strange) <= 0.1 * len(answers) else []
