"""Exercises in copying, which a model from random weights is shown before its first example.

To fill in a form is to find a place in the prompt and to copy what follows it. The circuit that does so, an induction
head (Olsson et al. 2022), forms late from examples alone, or never: each token that can be copied is in few of them. In
an exercise there is nothing else. The first ones are a sequence that is to be said again; later ones have markers, each
followed by a span, and the answer has the markers in another order, each to be followed by its span. Tokens are drawn
alike, from few at first and soon from all: every one learns to be copied before it means something. (Synthetic
sequences before those of a task: Wu et al. 2022, "Insights into Pre-training via Simpler Synthetic Tasks".)
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from freehold.train.generative.encode import BEFORE, Encoded
from freehold.train.generative.tokenizer import END, ROLES, SCRATCH_SPECIAL, Tokenizer

REPEATING = 0.5
"""Share that repeats a sequence: with markers from the first on, three times as many steps are needed."""
SHORTEST, LONGEST = 8, 24
"""Tokens of such a sequence."""
FEWEST, MOST = 3, 6
"""Spans of another exercise."""
LONGEST_SPAN = 4
"""Tokens: as many as a name, a number or a date has."""
FIRST_TOKENS = 32
ALL_TOKENS_AFTER = 1 / 3
"""Share after which they have tokens of the whole vocabulary."""


def exercises(count: int, tokenizer: Tokenizer, seed: int) -> list[Encoded]:
    """`count` exercises of about 36 tokens, in order, for a tokenizer made here; the same arguments give the same."""
    draw = random.Random(f"{seed}/copying")
    user, end, assistant = (tokenizer.core.token_to_id(token) for token in (ROLES[0], END, ROLES[1]))
    all_tokens = range(len(SCRATCH_SPECIAL), tokenizer.size)
    found: list[Encoded] = []
    for number in range(count):
        share = number / count
        tokens = all_tokens[: max(FIRST_TOKENS, round(len(all_tokens) * share / ALL_TOKENS_AFTER))]
        asked, answer, learned = _repeat(draw, tokens) if share < REPEATING else _find(draw, tokens)
        whole = [user, *asked, end, assistant, *answer, end]
        learn = [*[False] * (len(asked) + 3), *learned, True]
        found.append(Encoded(np.array(whole, np.int32), np.array(learn, np.bool_), BEFORE))
    return found


def _repeat(draw: random.Random, tokens: Sequence[int]) -> tuple[list[int], list[int], list[bool]]:
    """A sequence, and the same again."""
    asked = draw.choices(tokens, k=draw.randint(SHORTEST, LONGEST))
    return asked, asked, [True] * len(asked)


def _find(draw: random.Random, tokens: Sequence[int]) -> tuple[list[int], list[int], list[bool]]:
    """Spans behind their markers, and again in another order; markers are given, not learned."""
    asked: list[int] = []
    spans: list[list[int]] = []
    for _ in range(draw.randint(FEWEST, MOST)):
        spans.append(draw.choices(tokens, k=1 + draw.randint(1, LONGEST_SPAN)))
        # One token more now and then, that nobody asks for.
        asked += draw.choices(tokens, k=draw.randint(0, 1)) + spans[-1]
    draw.shuffle(spans)
    return asked, [token for span in spans for token in span], [at > 0 for span in spans for at in range(len(span))]
