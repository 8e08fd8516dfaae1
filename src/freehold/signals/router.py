"""A router as it is stored and loaded: what it predicts of prompts and answers, and its ladder at one step of the walk.

The gateway asks it two things: which rung to ask next, and whether that rung's answer will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import StudentError
from freehold.signals.answers import ANSWER_FEATURES, AnswerSignals, answer_features, final_answer
from freehold.signals.ladder import Step, acceptable, chance_of_taking
from freehold.signals.prompts import Prediction, PromptManifest, PromptModel
from freehold.signals.text import Embedder, hash_text

SEEN = 2 + 3 * ANSWER_FEATURES
"""Weights per rung: a constant, the loss expected before, the answer, its departure from its task's, answer × loss."""
VERSION = 1
Signal = Literal["prompt", "cascade"]


class RouterManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is not a tensor."""

    version: int = VERSION
    models: tuple[str, ...]
    """The incumbent, then the candidates; a candidate `student/ID` is an owned student, any other an upstream's."""
    rungs: tuple[int, ...]
    """Candidates (from 1) in the order they are tried."""
    signal: Signal
    """`prompt`: one rung is chosen before anybody is asked. `cascade`: rungs answer in turn until an answer will do."""
    spreads: tuple[float, ...]
    """Per rung: how far the expected loss moves when the answer is seen."""
    novelty_limit: float
    mean_cost: float
    """Dollars per request of the incumbent over the evidence: the unit of costs."""
    step: Step
    prompts: PromptManifest
    samples: int = 1
    """How often a cascade asks each model, to see whether it agrees with itself."""
    logprobs: bool = False
    """Whether it looks at the log-probabilities of an answer's tokens."""
    validity: bool = False
    """Whether it looks at an answer's having the form that the request asks for."""


class Router:
    """A loaded router.

    Besides the tensors of `PromptModel`: `answers` (k, SEEN) and `answer_means` (tasks + 1, k, ANSWER_FEATURES), for
    cascades.
    """

    def __init__(
        self, manifest: RouterManifest, tensors: dict[str, NDArray[np.generic]], embedder: Embedder | None = None
    ) -> None:
        """`embedder`: the one it was fitted with, if it was fitted with one.

        Raises: StudentError, if the tensors or the embedder do not fit the manifest.
        """
        k = len(manifest.models) - 1
        if manifest.version != VERSION or manifest.prompts.candidates != k or not manifest.rungs:
            raise StudentError("The router is of another version or without rungs.", "Fit it again.")
        if any(not 1 <= rung <= k for rung in manifest.rungs) or len(manifest.spreads) != len(manifest.rungs):
            raise StudentError(
                f"The router's rungs {manifest.rungs} are not among its {k} candidates.", "Fit it again."
            )
        if (embedder.dimensions if embedder else 0) != manifest.prompts.embedded:
            raise StudentError(
                f"The router wants an embedder of {manifest.prompts.embedded} dimensions.",
                "Set `[candidates] embedder` to the folder it was fitted with, or fit it again without one.",
            )
        self.manifest = manifest
        self._embedder = embedder
        self.prompts = PromptModel(manifest.prompts, tensors)
        self._tasks = {task: row for row, task in enumerate(manifest.prompts.tasks)}
        if manifest.signal == "cascade":
            shape = (len(manifest.prompts.tasks) + 1, k, ANSWER_FEATURES)
            if tensors["answers"].shape != (k, SEEN) or tensors["answer_means"].shape != shape:
                raise StudentError("The router's tensors for answers have the wrong shape.", "Fit it again.")
            self._answers = tensors["answers"].astype(np.float64)
            self._means = tensors["answer_means"].astype(np.float64)

    def predict(self, task: str, prompt: str) -> Prediction:
        """What is expected of a prompt; about 0.2 ms without an embedder."""
        return self.prompts.predict_hashed(task, hash_text(prompt, self._embedder))

    def knows(self, prediction: Prediction) -> bool:
        """Whether the prompt is like the evidence; where it is not, the incumbent answers."""
        return prediction.novelty <= self.manifest.novelty_limit

    def next_rung(self, prediction: Prediction, after: int = 0) -> int:
        """Which candidate to ask next, those up to `after` (0: none) having been asked; 0: the incumbent."""
        manifest = self.manifest
        # `choose` and `worth_asking` for one request: plain numbers are quicker than arrays of one.
        losses, costs = prediction.losses.tolist(), prediction.costs.tolist()
        if manifest.signal == "prompt":
            return 0 if after else self._worth_most(losses, costs)
        position = manifest.rungs.index(after) + 1 if after else 0
        for rung, spread in zip(manifest.rungs[position:], manifest.spreads[position:], strict=True):
            if chance_of_taking(losses[rung - 1], costs[0], spread, manifest.step) * costs[0] > costs[rung]:
                return rung
        return 0

    def _worth_most(self, losses: list[float], costs: list[float]) -> int:
        step, best, most = self.manifest.step, 0, 0.0
        for rung in self.manifest.rungs:
            value = costs[0] - costs[rung] - step.price * (losses[rung - 1] + step.offset)
            if value > most:
                best, most = rung, value
        return best

    def expected_loss(
        self, task: str, prediction: Prediction, rung: int, answer: AnswerSignals, earlier: Sequence[str]
    ) -> float:
        """The loss expected of a rung's answer, now that it is known.

        `earlier`: final answers (`freehold.signals.answers.final_answer`) of the rungs asked before. A router that
        chooses by the prompt alone expects what it expected before.
        """
        before = float(prediction.losses[rung - 1])
        if self.manifest.signal == "prompt":
            return before
        figures = answer_features(answer, final_answer(answer.text), earlier, float(prediction.costs[rung]))
        means = self._means[self._tasks.get(task, -1), rung - 1]
        return float(seen_features(np.array([before]), figures[None], means[None])[0] @ self._answers[rung - 1])

    def accepts(self, prediction: Prediction, loss: float) -> bool:
        """Whether an answer of which `loss` is expected will do."""
        return bool(acceptable(np.array([loss]), prediction.costs[:1].astype(np.float64), self.manifest.step)[0])


def seen_features(
    losses: NDArray[np.float64], answers: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the second estimate looks at, (n, SEEN): `losses` (n,) expected before, `answers` (n, ANSWER_FEATURES), and
    `means` of the task's answers, likewise.
    """
    before = losses[:, None]
    return np.hstack((np.ones_like(before), before, answers, answers - means, answers * before))


def build_router(
    manifest: dict[str, object], tensors: dict[str, NDArray[np.generic]], embedder: Embedder | None = None
) -> Router:
    """The router made of a stored manifest and its tensors.

    Raises: StudentError, if they do not fit together.
    """
    try:
        return Router(msgspec.convert(manifest, RouterManifest), tensors, embedder)
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise StudentError(f"The router's files do not fit together: {error}.", "Fit the router again.") from error
