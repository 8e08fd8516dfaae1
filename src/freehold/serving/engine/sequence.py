"""What is asked of an engine, and what has come of it so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np

from freehold.serving.engine.adapters import Adapter
from freehold.serving.engine.cache import LEAST_SHARED, as_tokens
from freehold.serving.engine.grammar import Matcher
from freehold.serving.engine.sampling import Likely
from freehold.serving.engine.text import Speech

Finish = Literal["stop", "length", "cancelled", "error"]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request for one answer."""

    prompt: Sequence[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_logprobs: int = 0
    """Beside the chosen token's, those of so many likeliest ones."""
    adapter: Adapter | None = None
    matcher: Matcher | None = None
    context: int | None = None
    """Tokens that prompt and answer may have together, where the engine's own bound is larger."""
    ignore_end: bool = False
    """Go on after a token that ends answers: for measurements of speed."""
    score_prompt: bool = False
    """Give the prompt's own log-probabilities."""
    stream: bool = False


class Running:
    """One running answer. The engine's thread writes; others read what is there when their listener was called."""

    __slots__ = (
        "ask",
        "cancelled",
        "filled",
        "finish",
        "head",
        "limit",
        "listener",
        "logprobs",
        "problem",
        "prompt",
        "prompt_scores",
        "random",
        "shared",
        "slot",
        "speech",
        "tokens",
        "tops",
        "total",
    )

    def __init__(self, ask: Ask, limit: int, speech: Speech | None, listener: Callable[[Running], None] | None) -> None:
        self.ask = ask
        self.limit = limit
        """Tokens after which the answer is cut."""
        self.speech = speech
        """None: nobody needs the text before the end."""
        self.listener = listener
        self.prompt = as_tokens(ask.prompt)
        self.head = b"" if ask.score_prompt or len(ask.prompt) <= LEAST_SHARED else self.prompt[:LEAST_SHARED].tobytes()
        """What others must begin with to share; empty: it shares nothing."""
        self.slot = -1
        self.filled = 0
        """Positions whose keys and values are there."""
        self.shared = 0
        """Of these, positions that another request's were taken for."""
        self.tokens: list[int] = []
        """Of the answer, without the one that ended it."""
        self.logprobs: list[float] = []
        self.tops: list[list[Likely]] = []
        self.total = 0.0
        """Sum of the log-probabilities, the end's included."""
        self.prompt_scores: list[tuple[float, list[Likely]]] = []
        """Of each token of the prompt but the first, where that was asked for."""
        self.finish: Finish | None = None
        self.problem = ""
        self.cancelled = False
        self.random = np.random.default_rng(ask.seed) if ask.temperature > 0 else None
