"""What each of several models gave for each prompt: the evidence that routers are fitted and certified on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


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

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def losses(self) -> Floats:
        """Signed loss of each candidate, shape (n, m − 1): the incumbent's score less the candidate's."""
        return self.scores[:, :1] - self.scores[:, 1:]

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
        )
