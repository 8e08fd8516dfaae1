"""What is known after a model has answered: has the answer the right form, how long is it, how sure was the model, does
it agree with itself and with a second cheap model, what effort did it take.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freehold.domain.answers import canonical, parse_object

ANSWER_FEATURES = 8
_SHORT = 80
_LONGEST = 200_000
"""Characters of an answer that are looked at, from its end."""
_KEYS = ("answer", "final_answer", "result", "output")
_MARKED = (
    re.compile(r"<answer>(.{0,2000}?)</answer>", re.S | re.I),
    re.compile(r'"(?:final_)?answer"\s*:\s*"?([^"\n}]{1,400})', re.I),
    re.compile(r"####\s*([^\n]{1,400})"),
    re.compile(r"\\boxed\{([^{}\n]{1,400})\}"),
    re.compile(r"\banswer\s+is:?\s*\**\(?([^\n.]{1,400})", re.I),
    re.compile(r"\banswer:\s*\**\(?([^\n]{1,400})", re.I),
)
_NOISE = re.compile(r"[\s\"'$,`*()]+")


class AnswerSignals(NamedTuple):
    """One model's answer to one prompt, and what it took."""

    text: str
    dollars: float
    """What the answer cost, as a share of the incumbent's mean cost."""
    logprob: float | None = None
    """Mean log-probability of the answer's tokens, where the upstream gives them."""
    consistency: float | None = None
    """Share of further samples whose final answer was the same, where several were asked for."""
    valid: bool | None = None
    """Whether the answer has the form that the task wants; None: judged by whether a final answer is found in it."""
    calls: int = 1
    """Calls that an agent has made so far."""


def final_answer(text: str) -> str:
    """What an answer comes down to, normalised, to compare answers by; empty if none is found.

    A short answer is its own final answer; in a long one it is looked for where models are asked to put it: an object's
    `answer`, `<answer>` tags, after `####`, in `\\boxed{}`, after "answer is". The last such place counts.
    """
    text = text[-_LONGEST:]
    parsed = parse_object(text)
    if parsed is not None:
        for key in _KEYS:
            if key in parsed:
                return _plain(canonical(parsed[key]))
        return canonical(parsed) if len(text) <= _LONGEST else ""
    for pattern in _MARKED:
        found = pattern.findall(text)
        if found:
            return _plain(found[-1])
    stripped = text.strip()
    return _plain(stripped) if len(stripped) <= _SHORT else ""


def agreement(final: str, earlier: Sequence[str]) -> float:
    """Share of earlier final answers that are the same; a half where there is nothing to compare."""
    if not final or not any(earlier):
        return 0.5
    return sum(final == other for other in earlier) / len(earlier)


def consistency_of(text: str, again: Sequence[str]) -> float | None:
    """Share of further samples of an answer whose final answer is the same; None without any."""
    return agreement(final_answer(text), [final_answer(one) for one in again]) if again else None


def answer_features(answer: AnswerSignals, final: str, earlier: Sequence[str], expected: float) -> NDArray[np.float64]:
    """The answer as figures, shape (ANSWER_FEATURES,).

    `final` is its final answer, `earlier` are those of the rungs asked before, `expected` what the answer was expected
    to cost, in the unit of `answer.dollars`.
    """
    return np.array(
        (
            math.log1p(len(answer.text)),
            float(bool(final) if answer.valid is None else answer.valid),
            math.log1p(len(final)),
            math.log(max(answer.dollars, 1e-6) / max(expected, 1e-6)),
            agreement(final, earlier),
            0.0 if answer.logprob is None else max(answer.logprob, -10.0),
            0.0 if answer.consistency is None else answer.consistency,
            math.log(max(answer.calls, 1)),
        )
    )


def _plain(text: str) -> str:
    return _NOISE.sub("", text).casefold().rstrip(".")
