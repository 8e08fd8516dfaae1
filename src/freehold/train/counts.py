"""How many tokens the incumbent would have counted, learned from those that it did count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from freehold.domain.evidence import Sample

_ASSUMED_TOKENS_PER_CHARACTER = 0.25


class TokenRates(NamedTuple):
    """A request has `fixed` + `per_character` · characters of its prompt, an answer `per_answer_character` · its."""

    fixed: float
    """Of the instructions."""
    per_character: float
    per_answer_character: float


def token_rates(rows: Sequence[Sample]) -> TokenRates:
    """Least squares of the incumbent's counts over fit rows; a quarter of a token per character without any."""
    return TokenRates(*_input_tokens(rows), _output_tokens(rows))


def _input_tokens(rows: Sequence[Sample]) -> tuple[float, float]:
    """Least squares of the incumbent's counts: tokens = fixed part (instructions) + rate · characters of the prompt."""
    counted = [(len(row.prompt), row.input_tokens) for row in rows if row.input_tokens > 0]
    if len(counted) < 2 or len({length for length, _ in counted}) < 2:
        return 0.0, _ASSUMED_TOKENS_PER_CHARACTER
    lengths, tokens = np.array(counted, np.float64).T
    centred = lengths - lengths.mean()
    rate = float(centred @ tokens / (centred @ centred))
    return max(0.0, float(tokens.mean() - rate * lengths.mean())), max(0.0, rate)


def _output_tokens(rows: Sequence[Sample]) -> float:
    characters = sum(len(row.answer) for row in rows if row.output_tokens > 0)
    tokens = sum(row.output_tokens for row in rows if row.output_tokens > 0)
    return tokens / characters if characters else _ASSUMED_TOKENS_PER_CHARACTER
