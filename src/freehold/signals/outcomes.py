"""What each of several models gave for each prompt: the evidence that routers are fitted and certified on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from freehold.signals.answers import AnswerSignals, consistency_of

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of n × m answers besides their texts; NaN where it is not."""

    logprobs: Floats
    """Mean log-probability of the tokens, (n, m)."""
    consistency: Floats
    """Share of further samples whose final answer is the same, (n, m)."""
    validity: Floats
    """1 where an answer has the form that its request asks for, 0 where it has not, (n, m)."""
    calls: NDArray[np.intp]
    """Calls that an agent has made with the one in question, (n,)."""
    samples: int = 1
    """How often each candidate is asked for that."""

    def take(self, rows: NDArray[np.intp]) -> Hints:
        """The same of some rows."""
        return Hints(self.logprobs[rows], self.consistency[rows], self.validity[rows], self.calls[rows], self.samples)


def hints_of(
    answers: Sequence[Sequence[str | None]],
    again: Sequence[Sequence[Sequence[str]]],
    logprobs: Floats,
    validity: Floats,
    calls: NDArray[np.intp],
    samples: int,
) -> Hints:
    """Hints, with the consistency of each answer with the further samples of it, `again`: (m) × (n) × any number."""
    consistency = np.full(logprobs.shape, np.nan)
    for model, (texts, others) in enumerate(zip(answers, again, strict=True)):
        for row, (text, more) in enumerate(zip(texts, others, strict=True)):
            found = None if text is None else consistency_of(text, more)
            if found is not None:
                consistency[row, model] = found
    return Hints(logprobs, consistency, validity, calls, samples)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n prompts × m models, complete: every model answered every prompt and was scored.

    The first model is the incumbent, the others are candidates in order of cost.
    """

    prompt_ids: Sequence[str]
    """Shape (n,)."""
    prompts: Sequence[str]
    tasks: Sequence[str]
    """The task each prompt belongs to; empty strings where there are no tasks."""
    models: tuple[str, ...]
    scores: Floats
    """Shape (n, m), in [0, 1]."""
    costs: Floats
    """Dollars per request, shape (n, m)."""
    answers: tuple[Sequence[str | None], ...] | None = None
    """What each model answered, (m) × (n); None where answers were not kept."""
    owned: tuple[bool, ...] = ()
    """Which models have open weights."""
    hints: Hints | None = None
    """None: nothing is known of answers but their texts."""

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def losses(self) -> Floats:
        """Signed loss of each candidate, shape (n, m − 1): the incumbent's score less the candidate's."""
        return self.scores[:, :1] - self.scores[:, 1:]

    def heard(self, row: int, model: int, mean_cost: float, *, sampled: bool) -> AnswerSignals:
        """What is known of an answer; `sampled`: of the further samples as well. `mean_cost`: the unit of its cost."""
        text = (None if self.answers is None else self.answers[model][row]) or ""
        dollars, hints = float(self.costs[row, model]) / mean_cost, self.hints
        if hints is None:
            return AnswerSignals(text, dollars)
        valid = _known(hints.validity[row, model])
        return AnswerSignals(
            text,
            dollars,
            logprob=_known(hints.logprobs[row, model]),
            consistency=_known(hints.consistency[row, model]) if sampled else None,
            valid=None if valid is None else valid > 0.0,
            calls=int(hints.calls[row]),
        )

    def spent(self, samples: int) -> Floats:
        """Dollars of asking each model about each prompt, (n, m): the incumbent once, candidates so often."""
        return self.costs * np.where(np.arange(len(self.models)) == 0, 1, samples)

    def take(self, rows: NDArray[np.intp]) -> Outcomes:
        """The outcomes of some rows."""
        answers, chosen = self.answers, [int(row) for row in rows]
        return Outcomes(
            prompt_ids=[self.prompt_ids[row] for row in chosen],
            prompts=[self.prompts[row] for row in chosen],
            tasks=[self.tasks[row] for row in chosen],
            models=self.models,
            scores=self.scores[rows],
            costs=self.costs[rows],
            answers=None if answers is None else tuple([given[row] for row in chosen] for given in answers),
            owned=self.owned,
            hints=None if self.hints is None else self.hints.take(rows),
        )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
